alter table apps add column checks text not null default '{}';
