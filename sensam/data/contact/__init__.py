"""A contact sheet of a data set: one picture from which a person sees what is in it."""

from sensam.data.contact.sheet import draw_contact_sheet

__all__ = ["draw_contact_sheet"]
