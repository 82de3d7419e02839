-- Which products have a word, written with the product. A full-text index of an engine's own would
-- be a second set of queries.
CREATE TABLE product_words (
    -- Folded, and spelled in digits, three for each byte: those sort alike under every collation,
    -- so that the words with one beginning are one range.
    word       TEXT   NOT NULL,
    product_id TEXT   NOT NULL REFERENCES products (id) ON DELETE CASCADE,
    -- How much a match counts: by the fields that have the word.
    weight     BIGINT NOT NULL CHECK (weight > 0),
    PRIMARY KEY (word, product_id)
);

CREATE INDEX product_words_by_product ON product_words (product_id);
