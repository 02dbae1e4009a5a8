-- Which layers a release can be started from, to be asked after each deploy of all there are: to
-- read every image for it takes longer than the rest of the collection.
create table release_layers (
  key text not null,
  release_id integer not null references releases (id) on delete cascade,
  primary key (key, release_id)
) strict, without rowid;
create index layers_by_release on release_layers (release_id);
create index releases_by_status on releases (status);

insert or ignore into release_layers
  select json_extract(layer.value, '$.key'), releases.id
  from releases, json_each(releases.image, '$.layers') as layer
  where status <> 'failed';

create trigger release_made after insert on releases when new.status <> 'failed' begin
  insert or ignore into release_layers
    select json_extract(layer.value, '$.key'), new.id from json_each(new.image, '$.layers') as layer;
end;

create trigger release_failed after update of status on releases when new.status = 'failed' begin
  delete from release_layers where release_id = new.id;
end;
