"""SQL statements about usage and its cost."""

_USAGE_IN_RANGE = """
FROM usage
WHERE tenant = :tenant AND created_at BETWEEN :first AND :last
"""

_USAGE_FIGURES = """
    count(*), ifnull(sum(pages), 0), ifnull(sum(input_tokens), 0), ifnull(sum(output_tokens), 0),
    ifnull(sum(total_micros), 0)
"""

USAGE_TOTAL = "SELECT count(DISTINCT document_id)," + _USAGE_FIGURES + _USAGE_IN_RANGE

USAGE_BY_OPERATION = (
    "SELECT operation," + _USAGE_FIGURES + _USAGE_IN_RANGE + "GROUP BY operation ORDER BY operation"
)
