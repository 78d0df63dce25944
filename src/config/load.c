// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/parse.h"

static int find_syntax(const char *path, enum config_syntax *syntax, struct err *err)
{
	const char *slash = strrchr(path, '/');
	const char *dot = strrchr(slash ? slash : path, '.');
	if (dot && strcasecmp(dot, ".toml") == 0) {
		*syntax = SYNTAX_TOML;
		return 0;
	}
	if (dot && (strcasecmp(dot, ".yaml") == 0 || strcasecmp(dot, ".yml") == 0)) {
		*syntax = SYNTAX_YAML;
		return 0;
	}
	return err_set(err, -EINVAL,
		       "the name says neither TOML nor YAML; let it end in .toml, .yaml or .yml");
}

static int check_file(int fd, struct err *err)
{
	struct stat status;
	if (fstat(fd, &status) != 0)
		return err_sys(err, -errno, "cannot look at the file");
	if (S_ISDIR(status.st_mode))
		return err_set(err, -EISDIR, "this is a directory; name a file in it");
	if (!S_ISREG(status.st_mode))
		return err_set(err, -EINVAL,
			       "this is not a regular file; write the configuration "
			       "to one");
	return 0;
}

// Read to the end; one byte more than the cap tells a file that is too large.
static int read_all(int fd, char *text, size_t *length, struct err *err)
{
	size_t used = 0;
	for (;;) {
		ssize_t got = read(fd, text + used, CONFIG_FILE_MAX_BYTES + 1 - used);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(err, -errno, "cannot read the file");
		if (got == 0)
			break;
		used += (size_t)got;
		if (used > CONFIG_FILE_MAX_BYTES)
			return err_set(err, -EFBIG,
				       "the file is larger than %d MiB; this is no configuration",
				       CONFIG_FILE_MAX_BYTES >> 20);
	}
	*length = used;
	return 0;
}

int config_read(const char *path, char **text, size_t *length, struct err *err)
{
	// A FIFO must not block before check_file() has seen it.
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return err_sys(err, -errno, "cannot open the file");
	char *buffer = NULL;
	int code = check_file(fd, err);
	if (code != 0)
		goto close_file;
	buffer = malloc(CONFIG_FILE_MAX_BYTES + 1);
	code = buffer ? read_all(fd, buffer, length, err)
		      : err_set(err, -ENOMEM, "not enough memory to read the file");
	if (code != 0)
		goto close_file;
	*text = buffer;
	buffer = NULL;

close_file:
	free(buffer);
	close(fd);
	return code;
}

static int report_alone(const char *path, const struct err *err, struct config_errors *errors)
{
	struct report report = {.errors = errors, .path = path};
	report_add(&report, (struct position){0}, "%s", err->message);
	return -EINVAL;
}

// The bytes of the file, owned by the caller, or a finding that says why there are none.
static int read_text(const char *path, char **bytes, struct config_text *text,
		     struct config_errors *errors)
{
	struct err err = {0};
	*text = (struct config_text){.path = path, .syntax = SYNTAX_TOML};
	// Who names a file that is not there is told so, whatever its name says.
	int code = config_read(path, bytes, &text->length, &err);
	if (code == 0)
		code = find_syntax(path, &text->syntax, &err);
	if (code == 0)
		text->text = *bytes;
	else
		(void)report_alone(path, &err, errors);
	return code;
}

int config_load(const char *path, struct config **config, struct config_errors *errors)
{
	char *bytes = NULL;
	struct config_text text;
	int code = read_text(path, &bytes, &text, errors);
	if (code == 0)
		code = config_parse(bytes, text.length, text.syntax, path, config, errors);
	free(bytes);
	return code;
}

int config_load_text(const char *text, size_t length, const char *name, const enum mode *mode,
		     struct config **config, struct config_errors *errors)
{
	struct err err = {0};
	struct config_text whole = {text, length, SYNTAX_TOML, name};
	if (find_syntax(name, &whole.syntax, &err))
		return report_alone(name, &err, errors);
	return config_parse_for(&whole, mode, config, errors);
}

int config_load_for(const char *path, const enum mode *mode, struct config **config,
		    struct config_errors *errors)
{
	char *bytes = NULL;
	struct config_text text;
	struct timespec read_at;
	clock_gettime(CLOCK_REALTIME_COARSE, &read_at);
	int code = read_text(path, &bytes, &text, errors);
	if (code == 0)
		code = config_parse_for(&text, mode, config, errors);
	if (code == 0)
		(*config)->read_at = read_at;
	free(bytes);
	return code;
}
