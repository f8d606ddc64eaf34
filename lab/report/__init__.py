"""The report of a run: one HTML page that needs nothing else, made from the files that the run left.

run        a run's directory as values, whatever is missing
markup     the only way from text to HTML
style      how it looks, on light and dark, wide and narrow, screen and paper
links      which packet is which arrow of the ladder
*_part     the parts of the page
page       the page
"""
