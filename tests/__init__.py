"""The suite. A package, since libraries bring a `tests` of their own, which would be found before ours."""
