// SPDX-License-Identifier: Apache-2.0
// toml++ parses, and its tree is copied node by node into a libyaml document, so that everything
// behind this file knows one tree and no C++. Header only, and not the shared library, because
// the depth at which toml++ gives up is fixed when it is compiled.
#include "config/toml_bridge.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <new>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace
{

// Thrown where toml++ takes something for granted: some files that are no TOML (a header `[!]`)
// reach its asserts, and a file may not end the process.
struct parser_surprise {
};

[[noreturn]] void surprise()
{
	throw parser_surprise();
}

} // namespace

#undef NDEBUG
#undef TOML_HEADER_ONLY
#undef TOML_SHARED_LIB
#define TOML_ASSERT(expression) ((expression) ? void() : surprise())
#define TOML_HEADER_ONLY        1
#define TOML_MAX_NESTED_VALUES  8
#include <toml++/toml.h>

namespace
{

struct bridge_error {
	int code;
	toml::source_position at;
	std::string message;
};

class bridge
{
      public:
	bridge(yaml_document_t *document, const toml_limits &limits)
	    : document_(document), limits_(limits)
	{
	}

	int add_table(const toml::table &table, size_t depth);

      private:
	int add_node(const toml::node &node, size_t depth);
	int add_list(const toml::array &list, size_t depth);
	int add_scalar(const toml::node &node);
	int add_text(std::string_view text, yaml_scalar_style_t style, const toml::source_region &);
	int keep(int id, const toml::source_region &source);
	void check_limits(size_t depth, const toml::source_region &source) const;

	yaml_document_t *document_; // borrowed
	const toml_limits &limits_;
};

yaml_mark_t mark_of(const toml::source_position &position)
{
	yaml_mark_t mark = {};
	mark.line = position.line > 0 ? position.line - 1 : 0;
	mark.column = position.column > 0 ? position.column - 1 : 0;
	return mark;
}

void bridge::check_limits(size_t depth, const toml::source_region &source) const
{
	auto n_nodes = static_cast<size_t>(document_->nodes.top - document_->nodes.start);
	if (n_nodes >= limits_.max_nodes)
		throw bridge_error{-EINVAL, source.begin, limits_.too_many_nodes};
	if (depth > limits_.max_depth)
		throw bridge_error{-EINVAL, source.begin, limits_.too_deep};
}

// libyaml numbers nodes from 1 and answers 0 when memory is short.
int bridge::keep(int id, const toml::source_region &source)
{
	if (id == 0)
		throw std::bad_alloc();
	yaml_node_t *node = yaml_document_get_node(document_, id);
	node->start_mark = mark_of(source.begin);
	node->end_mark = mark_of(source.end);
	return id;
}

int bridge::add_text(std::string_view text, yaml_scalar_style_t style,
		     const toml::source_region &source)
{
	// yaml_document_add_scalar() copies, though its parameter is not const.
	std::vector<yaml_char_t> bytes(text.begin(), text.end());
	bytes.push_back(0);
	int id = yaml_document_add_scalar(document_, nullptr, bytes.data(),
					  static_cast<int>(text.size()), style);
	return keep(id, source);
}

std::string text_of(double value)
{
	char text[64];
	auto [end, error] = std::to_chars(text, text + sizeof(text), value);
	return std::string(text, error == std::errc() ? end : text);
}

int bridge::add_scalar(const toml::node &node)
{
	const toml::source_region &source = node.source();
	if (const auto *string = node.as_string())
		return add_text(string->get(), YAML_DOUBLE_QUOTED_SCALAR_STYLE, source);
	if (const auto *integer = node.as_integer())
		return add_text(std::to_string(integer->get()), YAML_PLAIN_SCALAR_STYLE, source);
	if (const auto *real = node.as_floating_point())
		return add_text(text_of(real->get()), YAML_PLAIN_SCALAR_STYLE, source);
	if (const auto *flag = node.as_boolean())
		return add_text(flag->get() ? "true" : "false", YAML_PLAIN_SCALAR_STYLE, source);
	std::ostringstream date_or_time;
	node.visit([&](const auto &value) { date_or_time << value; });
	return add_text(date_or_time.str(), YAML_PLAIN_SCALAR_STYLE, source);
}

int bridge::add_list(const toml::array &list, size_t depth)
{
	int id = yaml_document_add_sequence(document_, nullptr, YAML_BLOCK_SEQUENCE_STYLE);
	keep(id, list.source());
	for (const toml::node &item : list) {
		if (!yaml_document_append_sequence_item(document_, id, add_node(item, depth + 1)))
			throw std::bad_alloc();
	}
	return id;
}

int bridge::add_node(const toml::node &node, size_t depth)
{
	check_limits(depth, node.source());
	if (const auto *table = node.as_table())
		return add_table(*table, depth);
	if (const auto *list = node.as_array())
		return add_list(*list, depth);
	return add_scalar(node);
}

int bridge::add_table(const toml::table &table, size_t depth)
{
	struct pair {
		const toml::key *key;
		const toml::node *value;
	};
	std::vector<pair> pairs;
	pairs.reserve(table.size());
	for (auto &&[key, value] : table)
		pairs.push_back({&key, &value});
	// toml++ sorts by name; the order of the file is wanted.
	std::stable_sort(pairs.begin(), pairs.end(), [](const pair &a, const pair &b) {
		return a.key->source().begin < b.key->source().begin;
	});

	int id = yaml_document_add_mapping(document_, nullptr, YAML_BLOCK_MAPPING_STYLE);
	keep(id, table.source());
	for (const pair &pair : pairs) {
		int key = add_text(pair.key->str(), YAML_DOUBLE_QUOTED_SCALAR_STYLE,
				   pair.key->source());
		int value = add_node(*pair.value, depth + 1);
		if (!yaml_document_append_mapping_pair(document_, id, key, value))
			throw std::bad_alloc();
	}
	return id;
}

bool is_surprise(std::string_view text)
{
	try {
		toml::table ignored = toml::parse(text);
	} catch (const parser_surprise &) {
		return true;
	} catch (const toml::parse_error &) {
		return false;
	}
	return false;
}

// The surprise does not say where it was. The parser reads forward, so it is in the last line of
// the least number of lines that surprise it.
toml::source_position find_surprise(std::string_view text)
{
	std::vector<size_t> ends;
	for (size_t i = 0; i < text.size(); i++) {
		if (text[i] == '\n')
			ends.push_back(i + 1);
	}
	auto found = std::partition_point(ends.begin(), ends.end(), [&](size_t end) {
		return !is_surprise(text.substr(0, end));
	});
	return {static_cast<toml::source_index>(found - ends.begin()) + 1, 1};
}

int fail(struct err *err, int code, const toml::source_position &at, const char *message)
{
	err->line = at.line;
	err->column = at.column;
	return err_set(err, code, "%s", message);
}

int read_all(yaml_document_t *document, std::string_view text, const toml_limits &limits,
	     struct err *err)
{
	try {
		toml::table root = toml::parse(text);
		bridge(document, limits).add_table(root, 0);
		return 0;
	} catch (const toml::parse_error &error) {
		std::string_view what = error.description();
		return fail(err, -EINVAL, error.source().begin, std::string(what).c_str());
	} catch (const parser_surprise &) {
		return fail(err, -EINVAL, find_surprise(text),
			    "not TOML; look at the name or the value in this line");
	} catch (const bridge_error &error) {
		return fail(err, error.code, error.at, error.message.c_str());
	}
}

} // namespace

int toml_bridge_read(yaml_document_t *document, const char *text, size_t length,
		     const struct toml_limits *limits, struct err *err)
{
	if (!yaml_document_initialize(document, nullptr, nullptr, nullptr, 1, 1))
		return err_set(err, -ENOMEM, "out of memory");
	int code = 0;
	try {
		code = read_all(document, std::string_view(text, length), *limits, err);
	} catch (const std::bad_alloc &) {
		code = err_set(err, -ENOMEM, "out of memory");
	} catch (...) {
		code = err_set(err, -EINVAL, "the TOML parser failed");
	}
	if (code != 0)
		yaml_document_delete(document);
	return code;
}
