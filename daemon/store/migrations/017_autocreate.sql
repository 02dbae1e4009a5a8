-- Whether a push to an app that does not exist creates it.
alter table global_config add column autocreate integer not null default 1;
