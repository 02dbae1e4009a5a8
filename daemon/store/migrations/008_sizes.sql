-- Bytes on disk of layers and directories, as last measured: `layer <key>`, `repo <app>`.
create table sizes (
  name text primary key,
  bytes integer not null,
  at text not null
) strict;
