CREATE TABLE products (
    -- The name as it stands in a URL.
    id             TEXT   PRIMARY KEY,
    name           TEXT   NOT NULL,
    category       TEXT   NOT NULL,
    description    TEXT   NOT NULL,
    -- Money is whole minor units (cents) of a currency, never a fraction.
    price_minor    BIGINT NOT NULL CHECK (price_minor >= 0),
    price_currency TEXT   NOT NULL CHECK (length(price_currency) = 3)
);

CREATE INDEX products_by_category ON products (category, name, id);
CREATE INDEX products_by_name ON products (name, id);
CREATE INDEX products_by_price ON products (price_minor, id);
