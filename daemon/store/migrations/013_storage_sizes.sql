-- How much a storage may hold; null for no limit.
alter table storages add column size_bytes integer;
