"""The pages and the JSON API analysts work with. Stores come in as arguments typed by tapwarden.model.ports."""
