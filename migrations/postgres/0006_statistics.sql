-- Which rows a tenant's scores are counted over: all live ones, or those alone that whoever asks may see.
ALTER TABLE tenants ADD COLUMN statistics TEXT COLLATE "C" NOT NULL DEFAULT 'live' CHECK (statistics IN ('live', 'visible'));
