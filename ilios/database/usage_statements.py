"""What is asked of usage. An open end of the range is the earliest or latest time there is."""

_IN_RANGE = """
FROM usage
WHERE tenant = :tenant AND created_at BETWEEN :first AND :last
"""

_FIGURES = """
    count(*), ifnull(sum(pages), 0), ifnull(sum(input_tokens), 0), ifnull(sum(output_tokens), 0),
    ifnull(sum(total_micros), 0)
"""

TOTAL = "SELECT count(DISTINCT document_id)," + _FIGURES + _IN_RANGE

BY_OPERATION = "SELECT operation," + _FIGURES + _IN_RANGE + "GROUP BY operation ORDER BY operation"
