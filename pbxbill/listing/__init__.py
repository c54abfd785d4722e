"""Lists of everything: which columns, filters and order each has, read page by page within a scope.

Panel, portal, API and exports show the same lists. listing.py owns paging, filters and order; each other
module is one list. Nothing here knows HTTP, languages or formats.
"""
