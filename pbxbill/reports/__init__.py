"""Reports: what was earned, used, owed and lost, by whom and when. One query and one shape per report.

Roll-ups keep them fast as calls grow; renderers write any report in any format. Nothing here knows HTTP.
"""
