// SPDX-License-Identifier: GPL-2.0-or-later
//
// What genksyms makes an export's CRC of, in words: its prototype and every type that it reaches.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace suture::patch {

// The lines that genksyms -T writes: a name ("udp_sendmsg", "s#sock", "t#u32") and its declaration,
// in which other types are named likewise.
class ExportTypes {
 public:
  explicit ExportTypes(std::string_view text);

  using Words = std::vector<std::string>;
  // Nothing where the file does not declare it.
  const Words* find(std::string_view name) const;

 private:
  std::map<std::string, Words, std::less<>> declarations_;
};

// What is declared in another way, first; nothing where the two sides only know more or less of a
// type.
struct ExportChange {
  std::string what;  // "struct sock"; empty where it is the export's own prototype
  std::string before;
  std::string after;
  bool operator<(const ExportChange& other) const {
    return std::tie(what, before, after) < std::tie(other.what, other.before, other.after);
  }
};
std::optional<ExportChange> export_change(const ExportTypes& pre, const ExportTypes& post,
                                          std::string_view name);

}  // namespace suture::patch
