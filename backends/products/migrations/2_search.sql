-- SQLite's own full-text index, kept by triggers. It stands apart from the table so that another
-- engine can bring its own.
CREATE VIRTUAL TABLE product_search USING fts5 (
    id UNINDEXED,
    name,
    category,
    description,
    tokenize = 'unicode61 remove_diacritics 2',
    prefix = '2 3'
);

CREATE TRIGGER products_inserted AFTER INSERT ON products BEGIN
    INSERT INTO product_search (id, name, category, description)
    VALUES (new.id, new.name, new.category, new.description);
END;

CREATE TRIGGER products_deleted AFTER DELETE ON products BEGIN
    DELETE FROM product_search WHERE id = old.id;
END;

CREATE TRIGGER products_updated AFTER UPDATE ON products BEGIN
    DELETE FROM product_search WHERE id = old.id;
    INSERT INTO product_search (id, name, category, description)
    VALUES (new.id, new.name, new.category, new.description);
END;
