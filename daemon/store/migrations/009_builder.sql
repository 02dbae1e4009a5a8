alter table apps add column builder text;
