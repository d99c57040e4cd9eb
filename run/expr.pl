# expr.pl - evaluates {= perl =} for prong; built into it as a string, started with perl -e.
#
# A frame is a 32-bit length and then strings, each with its own 32-bit length.  Requests come
# on the socket whose descriptor is $ARGV[0]; each has exactly one reply.  $ARGV[1] is the kind
# of shell that values are quoted for.
# What an expression may use lives in package Arg, as GNU parallel's manual describes it.
package Arg;
our (@arg, $job, $uq, $skipped, @put, $nongreedy);

sub seq { $Job::now{seq} }
sub slot { $Job::now{slot} }
sub total_jobs { $Job::now{total} }
sub uq { $uq = 1; return }
sub skip { $skipped = 1; return }
sub hash { require B; return B::hash(@_ ? $_[0] : $_) }
sub pQ {
	my ($s) = @_ ? @_ : ($_);
	$s =~ s/([\\\$\@\%"`])/\\$1/g if defined $s;
	return $s;
}
sub Q {
	my @words = map { Prong::quoted($_) } @_ ? @_ : ($_);
	return wantarray ? @words : join " ", @words;
}

# Dates: one call for each of the manual's spellings.
{
	my %format = (
		yyyy_mm_dd_hh_mm_ss => "%04d-%02d-%02dT%02d:%02d:%02d",
		yyyy_mm_dd_hh_mm => "%04d-%02d-%02dT%02d:%02d", yyyy_mm_dd => "%04d-%02d-%02d",
		yyyymmddhhmmss => "%04d%02d%02d%02d%02d%02d", yyyymmddhhmm => "%04d%02d%02d%02d%02d",
		yyyymmdd => "%04d%02d%02d", hh_mm_ss => "%4\$02d:%5\$02d:%6\$02d",
		hh_mm => "%4\$02d:%5\$02d", hhmmss => "%4\$02d%5\$02d%6\$02d",
		hhmm => "%4\$02d%5\$02d",
	);
	while (my ($name, $format) = each %format) {
		*{"Arg::$name"} = sub {
			my @t = localtime(@_ ? $_[0] : time);
			no warnings; # the short ones leave out the date
			return sprintf $format, $t[5] + 1900, $t[4] + 1, @t[3, 2, 1, 0];
		};
		*{"main::$name"} = \&{"Arg::$name"};
	}
}

# $job: the manual's methods.
package CommandLine;
sub seq { $Job::now{seq} }
sub slot { $Job::now{slot} }
sub total_jobs { $Job::now{total} }
sub skip { $Arg::skipped = 1; return }
sub sshlogin { return ":" }
sub replaced { return "" }
$Arg::job = bless {}, "CommandLine";
$Global::JobQueue = $Arg::job;

package main;

# Greedy quantifiers become lazy and lazy ones greedy; classes and escapes are left alone.
sub make_regexp_ungreedy {
	my ($regexp) = @_;
	my $out = "";
	while ($regexp =~ /\G(\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[^)]*?:|(?:[*+?]|\{\d+(?:,\d*)?\})\??|.)/gs) {
		my $piece = $1;
		if ($piece =~ /^(?:[*+?]|\{\d+(?:,\d*)?\})/) {
			$piece =~ s/(?<=.)\?$//s or $piece .= "?";
		}
		$out .= $piece;
	}
	return $out;
}

for my $name (qw(seq slot total_jobs uq skip hash pQ Q)) {
	*{"main::$name"} = \&{"Arg::$name"};
}
*Arg::make_regexp_ungreedy = \&make_regexp_ungreedy;

package Prong;
my (@use, $filter, @error, $shell);

# The command's own spelling of a quoted value; see quote.c.
sub quoted {
	my ($s) = @_;
	return "''" if !defined $s || $s eq "";
	return $s if $s !~ m{[^A-Za-z0-9_\-./+]};
	if ($shell eq "csh") {
		$s =~ s/([\t !"#\$&'()*;<=>?\[\\\]^`{|}~])/\\$1/g;
		$s =~ s/\n/"\\\n"/g;
		return $s;
	}
	$s =~ s/\\/\\\\/g if $shell eq "fish";
	$s =~ s/'/'"'"'/g;
	$s = "'$s'";
	$s =~ s/^''(?=")//;
	$s =~ s/(?<=")''$//;
	return $s;
}

sub plain {
	my ($s) = @_;
	return "" if !defined $s;
	utf8::encode($s) if utf8::is_utf8($s);
	$s =~ tr/\0//d; # no word of a command can hold it
	return $s;
}

sub message {
	my ($s) = @_;
	$s =~ s/\s*\(eval \d+\) line/ line/g;
	$s =~ s/, <\$?\w+> (?:line|chunk) \d+//g;
	$s =~ s/#line 1\n//;
	$s =~ s/ at line \d+, at EOF/ at its end/;
	$s =~ s/\s+/ /g;
	$s =~ s/\s*$//;
	return plain($s);
}

sub compiled {
	my ($code) = @_;
	my $sub = eval "package Arg; no strict; no warnings; sub {\n#line 1\n$code\n;}";
	return ($sub, $sub ? "" : message($@));
}

# One expression on one value.
sub value {
	my ($sub, $value) = @_;
	$Arg::uq = 0;
	local $_ = $value;
	$sub->();
	return ($Arg::uq ? "u" : "q") . plain($_);
}

sub values_of {
	my ($use) = @_;
	my ($sub, $pos, $once) = @$use;
	if ($pos) {
		my $i = $pos > 0 ? $pos : @Arg::arg + $pos;
		return $i > 0 && defined $Arg::arg[$i] ? value($sub, $Arg::arg[$i]) : "q";
	}
	return value($sub, join " ", @Arg::arg[1 .. $#Arg::arg]) if $once;
	return map { value($sub, $_) } @Arg::arg[1 .. $#Arg::arg];
}

# For the filter: what {= =} number $n gave, as one string.
sub given {
	my ($n) = @_;
	return join " ", map { substr $_, 1 } values_of($use[$n]);
}

# Everything there is to know for one job.
sub job_reply {
	my @out;
	$Arg::skipped = 0;
	my $ok = eval {
		@out = map { values_of($_) } @use;
		$Arg::skipped = 1 if $filter && !$Arg::skipped && !$filter->();
		1;
	};
	return ("e", message("$@")) if !$ok;
	return ($Arg::skipped ? "s" : "o", scalar @out, @out);
}

sub now {
	my ($seq, $slot, $total) = @_;
	%Job::now = (seq => $seq, slot => $slot, total => $total);
	%$Arg::job = (seq => $seq, slot => $slot);
}

sub jobs_reply {
	my ($total, $max, @f) = @_;
	my ($i, @out) = (0);
	$Global::max_jobs_running = $max;
	$Global::total_jobs = $total;
	while ($i < @f) {
		my ($seq, $slot, $nargs, $nput) = @f[$i .. $i + 3];
		$i += 4;
		now($seq, $slot, $total);
		@Arg::arg = (undef, @f[$i .. $i + $nargs - 1]);
		$i += $nargs;
		@Arg::put = @f[$i .. $i + $nput - 1];
		$i += $nput;
		push @out, job_reply();
	}
	return @out;
}

sub one_reply {
	my ($n, $seq, $slot, $total, @args) = @_;
	now($seq, $slot, $total);
	@Arg::arg = (undef, @args);
	my @out;
	return eval { @out = values_of($use[$n]); 1 } ? ("o", scalar @out, @out)
	                                              : ("e", message("$@"));
}

sub map_reply {
	my ($n, @values) = @_;
	my @out;
	return eval { @out = map { value($use[$n][0], $_) } @values; 1 }
	    ? ("o", scalar @out, @out) : ("e", message("$@"));
}

sub add_reply {
	my ($code, $pos, $once) = @_;
	my ($sub, $error) = compiled($code);
	push @use, [$sub, $pos, $once] if $sub;
	return $error;
}

sub filter_reply {
	my ($code) = @_;
	my $error;
	($filter, $error) = compiled($code);
	return $error;
}

my %reply = (j => \&jobs_reply, o => \&one_reply, m => \&map_reply, x => \&add_reply,
             f => \&filter_reply);

sub read_all {
	my ($from, $n) = @_;
	my $data = "";
	while (length $data < $n) {
		my $got = sysread $from, $data, $n - length $data, length $data;
		exit 0 if !$got && !($! && $!{EINTR});
	}
	return $data;
}

sub write_all {
	my ($to, $data) = @_;
	my $at = 0;
	while ($at < length $data) {
		my $n = syswrite $to, $data, length($data) - $at, $at;
		exit 0 if !defined $n && !$!{EINTR};
		$at += $n || 0;
	}
}

sub serve {
	my ($fd) = @_;
	open my $from, "<&=$fd" or die "prong: socket to perl: $!\n";
	open my $to, ">&=$fd" or die "prong: socket to perl: $!\n";
	binmode $from;
	binmode $to;
	$| = 1;
	for (;;) {
		my ($type, @fields) = unpack "(V/a*)*", read_all($from, unpack "V", read_all($from, 4));
		my $data = pack "(V/a*)*", $reply{$type}->(@fields);
		write_all($to, pack("V", length $data) . $data);
	}
}

$shell = $ARGV[1];
serve(shift @ARGV);
