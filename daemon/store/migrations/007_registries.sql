create table registries (
  id integer primary key,
  host text not null unique,
  -- Sealed, like config: user and password.
  login text not null default '{}',
  -- Root on the server lets it be used without TLS, or on this machine.
  allowed integer not null default 0
) strict;
