"""Simplified Chinese formats: what differs from Django's."""

# 12,345 as scripts and spreadsheets write it; Django groups by ten thousands, with nothing between.
NUMBER_GROUPING = 3
THOUSAND_SEPARATOR = ","
