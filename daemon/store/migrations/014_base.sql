-- The image that takes the place of the stack, when the owner has said so.
alter table apps add column base text;
