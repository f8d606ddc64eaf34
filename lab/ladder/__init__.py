"""The message ladder of a run, from the events of its nodes.

values     what a ladder is made of: lanes, rows, fates of messages; as JSON
join       which arrival belongs to which transmission, and what a drop explains
rows       a transmission in words
notes      what a node concluded, in words
fold       rows of a crowd as one
compose    the ladder, from all of these
place      where everything of a drawing lies
as_svg     the picture
as_text    the same for a terminal
"""
