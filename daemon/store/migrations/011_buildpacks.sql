alter table apps add column buildpacks text not null default '[]';
