-- What of a repository an app reads: its own folder, and what else a change of which deploys it.
alter table apps add column app_dir text;
alter table apps add column paths text not null default '[]';
