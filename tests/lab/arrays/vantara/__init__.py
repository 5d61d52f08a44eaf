"""A VSP of Hitachi's."""
