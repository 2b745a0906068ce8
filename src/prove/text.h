// SPDX-License-Identifier: GPL-2.0-or-later
//
// C text as the proof of wholeness reads it: what a file defines and includes, under a kernel's
// configuration. Written apart from src/source on purpose: a mistake there must show here.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace suture::prove {

// Answers of a reader that does not know every macro.
enum class Truth : std::uint8_t { no, yes, unknown };

// A kernel's .config.
class Configuration {
 public:
  Configuration() = default;
  explicit Configuration(const std::string& text);
  // Whether the condition of #if holds.
  Truth holds(std::string_view condition) const;
  // Whether the macro is defined.
  Truth defines(std::string_view macro) const;
  // "y", "m", a number or a string; empty where the option is off. `name` starts with CONFIG_.
  std::string_view value(std::string_view name) const;

 private:
  std::unordered_map<std::string, std::string> values_;
};

enum class ItemKind : std::uint8_t {
  function,  // a definition
  macro,     // a #define
  other,     // a declaration, a variable, a type, a macro's invocation
};

// What stands at the top level of a file.
struct Item {
  ItemKind kind = ItemKind::other;
  // Of a function made by a macro "SYSCALL_DEFINE3(read"; of `other` empty.
  std::string_view name;
  std::string_view text;  // all of it, as it stands in the file
  bool local = false;     // static
  bool certain = true;    // nothing but the configuration decides whether it is compiled
};

struct Inclusion {
  std::string_view spelled;
  bool quoted = false;
  bool certain = true;  // as of an item
};

// Views into the text that was read.
struct FileText {
  std::vector<Item> items;  // without those that the configuration leaves out
  std::vector<Inclusion> includes;
};

FileText read_c(std::string_view text, const Configuration& configuration);

// The text's tokens with one blank between them: what comments, line breaks and blanks leave.
std::string tokens_of(std::string_view text);

// Calls `seen` for each identifier that is not in a comment or a string, and says whether only the
// configuration decides that it is compiled, and whether a bracket follows; what the configuration
// leaves out is not seen.
using Seen = std::function<void(std::string_view name, bool certain, bool called)>;
void each_identifier(std::string_view text, const Configuration& configuration, const Seen& seen);

// FNV-1a, to look names up by.
std::uint64_t hash_of(std::string_view name);

}  // namespace suture::prove
