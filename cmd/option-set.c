/* option-set.c - one function for each kind of option value.  Writes struct config only. */
#include "option-set.h"

#include "buf.h"
#include "defaults.h"
#include "jobs.h"
#include "pack.h"

#include <math.h>
#include <prong.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARALLEL_VERSION = 20221122 }; /* the GNU parallel we are compared with */

int bad_value(const struct option *o, const char *value, const char *mend)
{
	size_t n = strcspn(o->names, " ");
	warn("-%s%.*s: '%.300s' is not understood; %s", n > 1 ? "-" : "", (int)n, o->names, value,
	     mend);
	return -1;
}

static void *field(struct config *cfg, const struct option *o)
{
	return (char *)cfg + o->at;
}

SETTER(set_bool)
{
	(void)value;
	*(bool *)field(cfg, o) = o->value;
	return 0;
}

SETTER(set_string)
{
	*(const char **)field(cfg, o) = value;
	return 0;
}

SETTER(set_nothing)
{
	(void)cfg, (void)o, (void)value;
	return 0;
}

/* 20, 4k (4000), 4K (4096): -1 if it is none. */
static double scaled(const char *s)
{
	static const char units[] = "kKmMgGtTpP";
	static const double factors[] = { 1e3,     0x1p10, 1e6,     0x1p20, 1e9,
		                          0x1p30, 1e12,   0x1p40, 1e15,   0x1p50 };
	char *end;
	double n = strtod(s, &end);
	const char *unit = *end ? strchr(units, *end) : NULL;
	if (end == s || (*end && (!unit || end[1])))
		return NAN;
	return unit ? n * factors[unit - units] : n;
}

SETTER(set_number)
{
	double n = scaled(value);
	if (isnan(n) || n < o->value || n != floor(n))
		return bad_value(o, value, "a whole number is needed");
	*(int *)field(cfg, o) = n > 1e9 ? 1000000000 : (int)n;
	return 0;
}

/* 90, 1.5m, 1d2h30m: seconds; -1 if it is none. */
static double duration(const char *s)
{
	static const struct { char unit; double seconds; } units[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 },
	};
	double sum = 0;
	char *end;
	if (!*s)
		return -1;
	while (*s) {
		double n = strtod(s, &end), unit = 0;
		if (end == s || n < 0 || !isfinite(n))
			return -1;
		for (size_t i = 0; i < sizeof units / sizeof *units; i++)
			if (*end == units[i].unit)
				unit = units[i].seconds;
		if (*end && unit == 0)
			return -1;
		sum += n * (*end ? unit : 1);
		s = *end ? end + 1 : end;
	}
	return sum < 1e12 ? sum : -1; /* milliseconds of more are no number of 64 bits */
}

/* "0.5auto" changes with what the jobs do. */
SETTER(set_delay)
{
	size_t len = strlen(value);
	bool automatic = len > 4 && !strcmp(value + len - 4, "auto");
	char *text = xstrdup(value);
	text[automatic ? len - 4 : len] = '\0';
	cfg->delay = duration(text);
	cfg->delay_auto = automatic;
	free(text);
	return cfg->delay < 0 ? bad_value(o, value, "write seconds, or 1.5m, 2h, 1d, 0.5auto") : 0;
}

SETTER(set_size)
{
	double n = scaled(value);
	if (isnan(n) || n <= 0)
		return bad_value(o, value, "write a number of bytes: 500M, 4G");
	*(double *)field(cfg, o) = n;
	return 0;
}

SETTER(set_load)
{
	cfg->load = value;
	if (jobs_parse(value, 1 << 20) >= 0)
		return 0;
	return bad_value(o, value, "write a number, N%, +N, -N, or the name of a file that holds one");
}

SETTER(set_nice)
{
	const struct option number = { .names = o->names, .value = o->value, .at = offsetof(struct config, nice) };
	cfg->nice_given = true;
	return set_number(cfg, &number, value);
}

SETTER(set_profile)
{
	(void)o;
	cfg->profiles = xrealloc(cfg->profiles, (cfg->nprofiles + 1) * sizeof *cfg->profiles);
	cfg->profiles[cfg->nprofiles++] = value;
	return 0;
}

SETTER(set_cpus)
{
	(void)value;
	cfg->cpus = (enum cpus)o->value;
	return 0;
}

SETTER(record_env)
{
	(void)cfg, (void)o, (void)value;
	return defaults_record_env() == 0 ? 1 : -1;
}

static bool amount(const char *s, struct amount *a)
{
	char *end;
	a->n = strtod(s, &end);
	a->percent = *end == '%';
	return end != s && a->n >= 0 && !end[a->percent];
}

SETTER(set_timeout)
{
	struct amount *a = &cfg->timeout;
	if (strchr(value, '%') && amount(value, a))
		return 0;
	*a = (struct amount){ .n = duration(value) };
	return a->n < 0 ? bad_value(o, value, "write seconds, 1.5m, 2h, or a percentage") : 0;
}

static bool halt_long(const char *s, struct halt *h)
{
	static const char *const whys[] = { "fail=", "success=", "done=" };
	h->when = !strncmp(s, "soon,", 5) ? HALT_SOON : HALT_NOW;
	if (h->when == HALT_NOW && strncmp(s, "now,", 4) != 0)
		return false;
	s = strchr(s, ',') + 1;
	for (int i = 0; i < 3; i++)
		if (!strncmp(s, whys[i], strlen(whys[i]))) {
			h->why = (enum halt_why)i;
			return amount(s + strlen(whys[i]), &h->limit) && h->limit.n > 0;
		}
	return false;
}

SETTER(set_halt)
{
	static const struct { const char *old, *is; } olds[] = {
		{ "1", "soon,fail=1" }, { "2", "now,fail=1" },
		{ "-1", "soon,success=1" }, { "-2", "now,success=1" },
	};
	struct halt *h = &cfg->halt;
	*h = (struct halt){ .when = HALT_NEVER };
	if (!strcmp(value, "never") || !strcmp(value, "0"))
		return 0;
	for (size_t i = 0; i < sizeof olds / sizeof *olds; i++)
		if (!strcmp(value, olds[i].old))
			value = olds[i].is;
	if (halt_long(value, h))
		return 0;
	*h = (struct halt){ .when = HALT_SOON, .why = HALT_FAIL };
	if (amount(value, &h->limit) && h->limit.percent && h->limit.n > 0)
		return 0;
	return bad_value(o, value, "write never, or soon|now,fail|success|done=N or N%");
}

/* \n \t \0 \\ \xHH \NNN (octal) become their bytes; other text stays. */
static char *unescaped(const char *s, size_t *len)
{
	static const char letters[] = "ntrabfv\\", bytes[] = "\n\t\r\a\b\f\v\\";
	char *out = xrealloc(NULL, strlen(s) + 1), *to = out, *end;
	while (*s) {
		const char *l = s[0] == '\\' && s[1] ? strchr(letters, s[1]) : NULL;
		if (l) {
			*to++ = bytes[l - letters];
			s += 2;
		} else if (s[0] == '\\' && s[1] == 'x' && strspn(s + 2, "0123456789abcdefABCDEF")) {
			*to++ = (char)strtol(s + 2, &end, 16);
			s = end;
		} else if (s[0] == '\\' && s[1] >= '0' && s[1] <= '7') {
			*to++ = (char)strtol(s + 1, &end, 8);
			s = end;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
	*len = (size_t)(to - out);
	return out;
}

SETTER(set_block)
{
	double n = scaled(value);
	if (isnan(n) || fabs(n) > 0x1p60 || (n > -1 && n < 0))
		return bad_value(o, value, "write a size: 500k, 10M; with --pipe-part also -N, blocks"
		                           " for each job slot");
	cfg->block = n < 0 ? ceil(n) : n < 1 ? 1 : floor(n);
	return 0;
}

SETTER(set_block_timeout)
{
	cfg->block_timeout = duration(value);
	return cfg->block_timeout < 0 ? bad_value(o, value, "write seconds, or 1.5m, 2h, 1d") : 0;
}

SETTER(set_delim)
{
	cfg->delim = unescaped(value, &cfg->delim_len);
	return cfg->delim_len ? 0 : bad_value(o, value, "one byte or more is needed: , \\t \\0 \\x1e");
}

SETTER(set_null)
{
	(void)o, (void)value;
	cfg->delim = "";
	cfg->delim_len = 1;
	return 0;
}

SETTER(set_repl)
{
	cfg->repl[o->value] = value ? value : "{}";
	return 0;
}

SETTER(set_rpl)
{
	(void)o;
	cfg->rpl = xrealloc(cfg->rpl, (cfg->nrpl + 1) * sizeof *cfg->rpl);
	cfg->rpl[cfg->nrpl++] = value;
	return 0;
}

SETTER(set_parens)
{
	size_t n = strlen(value);
	cfg->parens = value;
	return n >= 2 && n % 2 == 0 ? 0 : bad_value(o, value, "write both, equally long: {==} or ,,,,");
}

SETTER(set_output)
{
	(void)value;
	if (cfg->output_given && (int)cfg->output != o->value &&
	    (cfg->output == OUTPUT_GROUP || o->value == OUTPUT_GROUP)) {
		warn("--group goes with neither --ungroup nor --line-buffer; choose one");
		return -1;
	}
	cfg->output_given = true;
	cfg->output = (enum output_mode)o->value;
	return 0;
}

SETTER(set_resume)
{
	(void)value;
	if ((int)cfg->resume < o->value) /* the one that asks for more */
		cfg->resume = (enum resume_mode)o->value;
	return 0;
}

SETTER(set_compress)
{
	cfg->compress = true;
	return set_string(cfg, o, value);
}

SETTER(set_sql)
{
	if (cfg->sql && strcmp(cfg->sql + (*cfg->sql == '+'), value + (*value == '+')) != 0)
		return bad_value(o, value, "master and worker need the same DBURL");
	cfg->sql = cfg->sql && *cfg->sql == '+' ? cfg->sql : value;
	cfg->sql_master |= (o->value & 1) != 0;
	cfg->sql_worker |= (o->value & 2) != 0;
	return 0;
}

SETTER(set_template)
{
	const char *eq = strchr(value, '=');
	if (!eq || eq == value || !eq[1])
		return bad_value(o, value, "write FILE=NAME, such as my.tmpl={#}.conf");
	cfg->templates = xrealloc(cfg->templates, (cfg->ntemplates + 1) * sizeof *cfg->templates);
	cfg->templates[cfg->ntemplates++] = value;
	return 0;
}

SETTER(set_summary)
{
	(void)value;
	cfg->summary = (enum when)o->value;
	return 0;
}

SETTER(set_capture)
{
	cfg->capture = value;
	if (!strcmp(value, "pipe") || !strcmp(value, "file"))
		return 0;
	return bad_value(o, value, "write file or pipe");
}

struct input_spec *add_input(struct config *cfg, enum input_kind kind, bool linked)
{
	cfg->inputs = xrealloc(cfg->inputs, (cfg->ninputs + 1) * sizeof *cfg->inputs);
	cfg->inputs[cfg->ninputs] = (struct input_spec){ .kind = kind, .linked = linked };
	return &cfg->inputs[cfg->ninputs++];
}

SETTER(set_file)
{
	(void)o;
	add_input(cfg, INPUT_FILE, false)->path = value;
	return 0;
}

SETTER(set_header)
{
	(void)o;
	cfg->header = true;
	cfg->header_is = value;
	return 0;
}

SETTER(set_trim)
{
	static const struct { const char *name; enum trim trim; } trims[] = {
		{ "n", TRIM_NONE }, { "l", TRIM_LEFT }, { "r", TRIM_RIGHT },
		{ "lr", TRIM_BOTH }, { "rl", TRIM_BOTH },
	};
	for (size_t i = 0; i < sizeof trims / sizeof *trims; i++)
		if (!strcmp(value, trims[i].name)) {
			cfg->trim = trims[i].trim;
			return 0;
		}
	return bad_value(o, value, "write n, l, r, lr or rl");
}

SETTER(set_max_args)
{
	cfg->repeat |= o->value != 0;
	const struct option number = { .names = o->names, .at = offsetof(struct config, max_args) };
	return set_number(cfg, &number, value);
}

SETTER(set_max_lines)
{
	const struct option number = { .names = o->names, .at = offsetof(struct config, max_lines) };
	int e = set_number(cfg, &number, value ? value : "1");
	if (o->value && cfg->max_lines == 0) /* -l0 is -l1, -L0 is not -L1 */
		cfg->max_lines = 1;
	return e;
}

SETTER(set_pack)
{
	(void)value;
	cfg->pack = o->value ? PACK_SPREAD : PACK_XARGS;
	cfg->repeat |= o->value == 'X';
	return 0;
}

SETTER(set_eof)
{
	(void)o;
	cfg->eof_str = value && *value ? value : NULL;
	return 0;
}

SETTER(set_tagstring)
{
	size_t len;
	(void)o;
	cfg->tagstring = unescaped(value, &len);
	return 0;
}

SETTER(set_ctag)
{
	cfg->color = true;
	cfg->tag |= !value;
	return value ? set_tagstring(cfg, o, value) : 0;
}

SETTER(set_shell_quote)
{
	(void)o, (void)value;
	cfg->shell_quote++;
	cfg->dry_run = true;
	return 0;
}

SETTER(print_line_max)
{
	(void)cfg, (void)o, (void)value;
	printf("%d\n", LINE_MAX_DEFAULT);
	return 1;
}

SETTER(print_min_version)
{
	(void)cfg;
	char *end;
	long wanted = strtol(value, &end, 10);
	if (end == value || *end)
		return bad_value(o, value, "write a version of GNU parallel: 20221122");
	printf("%d\n", PARALLEL_VERSION);
	if (wanted <= PARALLEL_VERSION)
		return 1;
	warn("--minversion: behaves as GNU parallel %d, not yet as %ld", PARALLEL_VERSION, wanted);
	return -1;
}

SETTER(print_cpus)
{
	(void)cfg, (void)value;
	printf("%d\n", cpus_counted((enum cpus)o->value));
	return 1;
}

SETTER(print_version)
{
	(void)cfg, (void)o, (void)value;
	unsigned v = prong_version();
	printf("prong %u.%u.%u\n", v >> 16, v >> 8 & 255, v & 255);
	return 1;
}

SETTER(set_sem_fg)
{
	(void)value;
	cfg->semaphore = true;
	cfg->sem_fg = o->value;
	return 0;
}

SETTER(set_sem_id)
{
	(void)o;
	cfg->semaphore = true;
	cfg->sem_id = value;
	return 0;
}

SETTER(set_sem_timeout)
{
	bool give_up = *value == '-';
	double t = duration(value + give_up);
	cfg->semaphore = true;
	cfg->sem_timeout = give_up ? -t : t;
	return t < 0 ? bad_value(o, value, "write seconds, or 1.5m, 2h; negative: give up then") : 0;
}

SETTER(not_first)
{
	(void)cfg, (void)value;
	warn("--%.*s must be the first option", (int)strcspn(o->names, " "), o->names);
	return -1;
}

SETTER(decline) /* a mark: the parser, who knows what was typed, says why */
{
	(void)cfg, (void)o, (void)value;
	return -1;
}
