use strict;
use Socket;

socket(my $server, PF_INET, SOCK_STREAM, 0) or die $!;
setsockopt($server, SOL_SOCKET, SO_REUSEADDR, 1) or die $!;
bind($server, sockaddr_in($ENV{PORT}, INADDR_ANY)) or die $!;
listen($server, 16) or die $!;
while (accept(my $client, $server)) {
    while (my $line = <$client>) { last if $line =~ /^\r?\n$/ }
    my $body = "$ENV{GREETING}, tone $ENV{TONE_AT_BUILD}, $ENV{COLOUR}\n";
    my $length = length $body;
    print $client "HTTP/1.1 200 OK\r\ncontent-length: $length\r\nconnection: close\r\n\r\n$body";
    close $client;
}
