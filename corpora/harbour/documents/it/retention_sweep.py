"""Nightly sweep that removes claim photographs after their retention time."""

from datetime import date, timedelta

# Photographs of closed claims are kept for six years, those of a fraud inquiry for ten.
KEEP_YEARS = {"closed": 6, "inquiry": 10}
BATCH = 500


def is_due(state: str, closed_on: date, today: date) -> bool:
    """A photograph is due when its claim was closed longer ago than its state allows."""
    years = KEEP_YEARS.get(state)
    if years is None:
        return False
    return closed_on + timedelta(days=365 * years) < today


def sweep(store, today: date) -> int:
    """Remove what is due, at most BATCH photographs a night, and say how many went."""
    due = [photo for photo in store.photographs() if is_due(photo.state, photo.closed_on, today)]
    for photo in due[:BATCH]:
        store.remove(photo)
    return min(len(due), BATCH)
