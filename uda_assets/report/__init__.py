"""The report on the published leaderboard, as one HTML file that can be mailed, and the leaderboard as a picture."""

from uda_assets.report.build import REPORT_NAME, build_report, report_path, write_report
from uda_assets.report.pictures import leaderboard_chart_png, leaderboard_chart_svg, published_picture

__all__ = [
    "REPORT_NAME",
    "build_report",
    "leaderboard_chart_png",
    "leaderboard_chart_svg",
    "published_picture",
    "report_path",
    "write_report",
]
