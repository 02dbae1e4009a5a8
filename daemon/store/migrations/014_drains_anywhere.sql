-- Root on the server lets a drain lead to this machine or its apps.
alter table drains add column anywhere integer not null default 0;
