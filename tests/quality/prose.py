"""Sentences to fill pages with. No two are alike, so that a lost or repeated one is seen."""
# ruff: noqa: E501  the texts of the samples stand on lines of their own

from collections.abc import Iterator

ENGLISH = (
    "The ferry left the quay before the market had opened. Two men on the pier counted the crates and wrote the number on a slate.",
    "A strong wind from the north had kept the boats in for three days. Nobody expected it to drop before the evening.",
    "The warden checked the lamps of the outer wall every second night. He noted the level of the oil in a small green book.",
    "Most of the nets had been mended during the winter. Those that were left hung over the rail of the old customs house.",
    "In spring the harbour board raised the dues for vessels above nine metres. The owners of smaller boats paid what they always had.",
    "The crane at the eastern berth lifts four tonnes. Heavier loads are moved with the help of a barge from the yard.",
    "Visitors may climb the tower between ten and four. The stairs are steep, and the door at the top sticks when it rains.",
    "A notice on the board asked for the return of a borrowed anchor. It was brought back within the week, cleaned and painted.",
    "The school sent a class to draw the ships. Their teacher pinned the best pictures up in the waiting room.",
    "Fresh water is taken from the spring above the church. The pipe was laid in a dry summer and has never frozen since.",
    "The pilot knows each rock by a name of its own. Strangers who trust only the chart tend to hit the third one.",
    "Fish is sold at the steps as soon as it is landed. What remains at noon goes to the smokehouse behind the inn.",
)  # fmt: skip
GERMAN = (
    "Der Fährmann legte ab, bevor der Markt geöffnet war. Zwei Männer zählten die Kisten und schrieben die Zahl auf eine Tafel.",
    "Ein kräftiger Wind aus Norden hielt die Boote drei Tage lang fest. Niemand rechnete damit, dass er am Abend nachlässt.",
    "Der Wärter prüfte die Lampen der äußeren Mauer jede zweite Nacht. Den Stand des Öls vermerkte er in einem grünen Heft.",
    "Die meisten Netze waren über den Winter geflickt worden. Der Rest hing über dem Geländer des alten Zollhauses.",
    "Im Frühjahr erhöhte der Rat die Gebühren für größere Schiffe. Wer ein kleines Boot besaß, zahlte so viel wie immer.",
    "Der Kran am östlichen Liegeplatz hebt vier Tonnen. Schwerere Lasten bewegt man mit einem Kahn der Werft.",
)
FRENCH = (
    "Le bac quittait le quai avant l'ouverture du marché. Deux hommes comptaient les caisses et notaient le nombre sur une ardoise.",
    "Un vent fort du nord avait retenu les barques pendant trois jours. Personne ne pensait qu'il tomberait avant le soir.",
    "Le gardien vérifiait les lampes de la jetée une nuit sur deux. Il inscrivait le niveau de l'huile dans un petit carnet vert.",
    "La plupart des filets avaient été réparés pendant l'hiver. Les autres pendaient sur la rampe de l'ancienne douane.",
    "Au printemps le conseil augmenta les droits pour les grands navires. Les petits bateaux payaient comme auparavant.",
    "La grue du quai de l'est soulève quatre tonnes. On déplace les charges plus lourdes avec un chaland du chantier.",
)
LANGUAGES = {"english": ENGLISH, "german": GERMAN, "french": FRENCH}


def paragraphs(language: str = "english", start: int = 0) -> Iterator[str]:
    """Yield paragraphs, each once; more of them than there are begin with a number."""
    sentences = LANGUAGES[language]
    for number in range(start, 10_000):
        lap, place = divmod(number, len(sentences))
        yield f"{lap + 1}) {sentences[place]}" if lap else sentences[place]
