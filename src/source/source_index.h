// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a kernel's units may include, exactly as its build looks for it, and which of these files
// hold which names. Read of the source tree once per kernel, and kept.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "source/pasting.h"

namespace suture::source {

// How a compile command looks for what a file includes. Directories are paths from the tree's root.
struct IncludeWay {
  std::vector<std::string> quote;  // -iquote
  std::vector<std::string> angle;  // -I, -isystem
  std::vector<std::string> first;  // -include, as files
  std::vector<std::string> names;  // all that -D and -U name
  auto operator<=>(const IncludeWay&) const = default;
};

// Of a compile command, run in the root of the tree at `tree`.
IncludeWay include_way(const std::vector<std::string>& compiler, const fs::path& tree);

// What one compile command reads: a unit.
struct Reader {
  std::string source;     // path from the tree's root, without ".."
  std::uint32_t way = 0;  // which of the ways
  auto operator<=>(const Reader&) const = default;
};

class SourceIndex {
 public:
  // Takes what lies at `kept` where it was made for the same readers; reads the tree and keeps it
  // there otherwise.
  static Result<SourceIndex> open(const fs::path& tree, std::vector<IncludeWay> ways,
                                  std::vector<Reader> readers, const fs::path& kept);

  const std::vector<Reader>& readers() const { return readers_; }
  const std::vector<IncludeWay>& ways() const { return ways_; }

  // For each reader, whether it may read one of the files, itself or by whatever it includes. A
  // file that is not in the tree counts where it would be found first, or at all.
  std::vector<bool> users(const std::vector<std::string>& files) const;

  // For each file, whether one of these readers may read it.
  std::vector<bool> files_of(const std::vector<bool>& readers) const;

  // The files that hold the name, as numbers, in order. Perhaps some more: a name is kept as a
  // number of 32 bits.
  std::vector<std::uint32_t> files_naming(std::string_view name) const;
  bool exists(std::string_view name) const { return !files_naming(name).empty(); }

  std::uint32_t file_count() const { return static_cast<std::uint32_t>(files_.size()); }
  std::string path(std::uint32_t file) const { return std::string(files_[file]); }
  // Its number, or file_count() where no unit may include it.
  std::uint32_t number(std::string_view path) const;
  bool is_included(std::uint32_t file) const { return (flags_[file] & included) != 0; }
  // Included where a declaration or a list has begun: what it holds may be a part of that.
  bool is_part(std::uint32_t file) const { return (flags_[file] & part) != 0; }

  // A macro of that name stands for more than numbers and its arguments.
  bool is_naming_macro(std::string_view name) const;
  // A macro of that name, without parameters, may stand for a type's definition.
  bool is_brace_macro(std::string_view name) const;
  // Calls work(pattern, macros) for each pattern (pasting.h) that begins as the name does, or with
  // a hole, with the names of the macros that paste so, between blanks.
  template <class Work>
  void for_each_pasting(std::string_view name, const Work& work) const {
    auto rows = [&](std::string_view from, std::string_view to) {
      auto end = std::ranges::lower_bound(pastings_, to);
      for (auto it = std::ranges::lower_bound(pastings_, from); it < end; ++it) {
        std::size_t tab = std::min(it->find('\t'), it->size());
        work(it->substr(0, tab), it->substr(tab));
      }
    };
    std::string begin;
    for (std::size_t size = 0; size <= name.size(); ++size) {
      begin = name.substr(0, size);
      rows(begin + Pasting::given, begin + static_cast<char>(Pasting::last_hole + 1));
    }
    rows(begin + '\t', begin + static_cast<char>('\t' + 1));
  }
  // A file or a command's option defines that name of a kernel option, or takes it away.
  bool is_option_set_by_hand(std::string_view name) const;
  // Macros that stand for that name alone.
  std::vector<std::string> aliases(std::string_view name) const;

 private:
  enum : std::uint8_t { included = 1, part = 2 };
  struct Edge {
    std::uint32_t from = 0, to = 0;
    std::uint32_t ways = 0;  // which set
  };
  std::size_t set_words() const { return (ways_.size() + 63) / 64; }
  // Takes the sections of a kept index; not-cached where they cannot be one of these readers.
  Status take(ByteView bytes, std::string_view key);

  std::vector<IncludeWay> ways_;
  std::vector<Reader> readers_;
  MappedFile map_;
  std::vector<std::string_view> files_;  // sorted
  ByteView flags_;
  std::span<const std::uint64_t> sets_;  // each set_words() long, a bit for each way
  std::span<const Edge> edges_;
  // What is included, as it is spelled, and from which files: lines "NAME\tNUMBER NUMBER...".
  std::string_view spelled_;
  std::span<const std::uint32_t> naming_macros_;  // hashes, sorted
  std::span<const std::uint32_t> brace_macros_;   // likewise
  std::vector<std::string_view> pastings_;        // lines "PATTERN\tMACRO MACRO...", sorted
  std::vector<std::string_view> options_;         // those that files set, sorted
  std::vector<std::string_view> aliases_;         // lines "WHAT IT STANDS FOR\tMACRO", sorted
  // The names: for each value of a hash's first bits where its part of the list begins; there, the
  // rest of each hash, how many files, and which (all as differences).
  std::span<const std::uint32_t> buckets_;
  ByteView list_;
};

}  // namespace suture::source
