"""The report on the published leaderboard, as one HTML file that can be mailed, and the leaderboard as a picture."""

from uda_assets.report.build import build_report, is_reported, write_report
from uda_assets.report.pictures import leaderboard_chart_png, leaderboard_chart_svg, published_picture

__all__ = [
    "build_report",
    "is_reported",
    "leaderboard_chart_png",
    "leaderboard_chart_svg",
    "published_picture",
    "write_report",
]
