"""What browsers may do with our pages (Content-Security-Policy): draw what is ours, run nothing else."""

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
DESIGNER_POLICY = f"{PAGE_POLICY}; frame-src 'self'"
"""Of a page that shows a preview in a frame."""
PREVIEW_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)
"""Of the preview: markup that somebody wrote is drawn. It runs nothing, and is nobody's page."""
