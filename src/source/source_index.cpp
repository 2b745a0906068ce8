// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a header's users are known for sure only after a build of the whole kernel, and which of
// them see a change of it not even then.
//
// Method: two indexes of what a kernel's units are made of, made once (index_maker.cpp). The first
// says which file includes which, as the search paths of each unit have it: an edge that holds for
// some of the ways to look only has the set of these. The users of a file are found backwards from
// it, with the set of ways under which it is reached at each file. The second says which files hold
// which names.
//
// Conditions are left out, so the answers may be too large. The file is mapped and read where it
// lies; one that is damaged or of other readers counts as none.
//
// Invariant: if the preprocessor reads file H for a unit, then the unit is among users({H}); if a
// file holds a name, it is among files_naming() of it.
#include "source/source_index.h"

#include <algorithm>
#include <charconv>

#include "base/digest.h"
#include "base/text.h"
#include "source/index_format.h"

namespace suture::source {

namespace {

template <class T>
std::span<const T> numbers_in(ByteView bytes) {
  return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
}

std::optional<std::uint32_t> read_varint(ByteView list, std::size_t& at) {
  std::uint32_t out = 0;
  for (unsigned shift = 0; shift < 35 && at < list.size(); shift += 7) {
    std::uint8_t byte = list[at++];
    out |= static_cast<std::uint32_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) {
      return out;
    }
  }
  return std::nullopt;
}

fs::path below_tree(const fs::path& path, const fs::path& tree) {
  return path.is_absolute() ? path.lexically_relative(tree) : path;
}

std::string key_of(const std::vector<IncludeWay>& ways, const std::vector<Reader>& readers) {
  std::string all;
  auto add = [&](const std::vector<std::string>& words) {
    for (const std::string& word : words) {
      all += word + '\0';
    }
    all += '\n';
  };
  for (const IncludeWay& way : ways) {
    add(way.quote);
    add(way.angle);
    add(way.first);
  }
  for (const Reader& reader : readers) {
    all += reader.source + '\0' + std::to_string(reader.way) + '\n';
  }
  return sha256_hex(as_bytes(all));
}

}  // namespace

IncludeWay include_way(const std::vector<std::string>& compiler, const fs::path& tree) {
  IncludeWay out;
  auto directory = [&](const std::string& text, std::vector<std::string>& list) {
    std::string path = below_tree(text, tree).lexically_normal().string();
    while (path.ends_with('/')) {
      path.pop_back();
    }
    path = path == "." ? "" : path;
    if (!path.starts_with("..") && std::ranges::find(list, path) == list.end()) {
      list.push_back(std::move(path));
    }
  };
  for (std::size_t i = 1; i < compiler.size(); ++i) {
    std::string_view word = compiler[i];
    auto value = [&](std::string_view option) {
      return word.size() > option.size() || i + 1 == compiler.size()
                 ? std::string(word.substr(option.size()))
                 : compiler[++i];
    };
    if (word.starts_with("-include")) {
      out.first.push_back(below_tree(value("-include"), tree).lexically_normal().string());
    } else if (word.starts_with("-iquote")) {
      directory(value("-iquote"), out.quote);
    } else if (word.starts_with("-isystem")) {
      directory(value("-isystem"), out.angle);
    } else if (word.starts_with("-I")) {
      directory(value("-I"), out.angle);
    } else if ((word.starts_with("-D") || word.starts_with("-U")) &&
               !word.starts_with("-DKBUILD_") && !word.starts_with("-D__KBUILD_")) {
      for_each_name(value("-D"), [&](std::string_view name) { out.names.emplace_back(name); });
    }
  }
  return out;
}

Result<SourceIndex> SourceIndex::open(const fs::path& tree, std::vector<IncludeWay> ways,
                                      std::vector<Reader> readers, const fs::path& kept) {
  const std::string key = key_of(ways, readers);
  SourceIndex out;
  out.ways_ = std::move(ways);
  out.readers_ = std::move(readers);
  if (auto map = MappedFile::open(kept)) {
    out.map_ = std::move(*map);
    if (out.take(out.map_.bytes(), key)) {
      return out;
    }
  }
  TRY(make_directories(kept.parent_path()));
  {
    const Bytes made = TRY(make_index(tree, out.ways_, out.readers_, key));
    TRY(write_file(kept, made));
  }
  out.map_ = TRY(MappedFile::open(kept));
  TRY(out.take(out.map_.bytes(), key));
  return out;
}

Status SourceIndex::take(ByteView bytes, std::string_view key) {
  auto wrong = [] {
    return fail(Code::not_cached, "source index", "it is damaged, or was made for another kernel");
  };
  auto sections = read_sections(bytes, key);
  if (!sections) {
    return wrong();
  }
  auto section = [&](Section which) { return (*sections)[static_cast<std::size_t>(which)]; };
  files_.clear();
  for_each_line(as_text(section(Section::files)),
                [&](std::string_view line) { files_.push_back(line); });
  flags_ = section(Section::flags);
  sets_ = numbers_in<std::uint64_t>(section(Section::sets));
  edges_ = numbers_in<Edge>(section(Section::edges));
  spelled_ = as_text(section(Section::spelled));
  naming_macros_ = numbers_in<std::uint32_t>(section(Section::naming_macros));
  brace_macros_ = numbers_in<std::uint32_t>(section(Section::brace_macros));
  aliases_.clear();
  for_each_line(as_text(section(Section::aliases)),
                [&](std::string_view line) { aliases_.push_back(line); });
  options_.clear();
  for_each_line(as_text(section(Section::options)),
                [&](std::string_view line) { options_.push_back(line); });
  buckets_ = numbers_in<std::uint32_t>(section(Section::buckets));
  list_ = section(Section::list);
  pastings_.clear();
  for_each_line(as_text(section(Section::pastings)),
                [&](std::string_view line) { pastings_.push_back(line); });
  const std::size_t set_count = sets_.size() / std::max<std::size_t>(set_words(), 1);
  bool good =
      flags_.size() == files_.size() && buckets_.size() == bucket_count + 1 &&
      std::ranges::all_of(edges_, [&](const Edge& edge) {
        return edge.from < files_.size() && edge.to < files_.size() && edge.ways < set_count;
      });
  return good ? Status{} : wrong();
}

std::uint32_t SourceIndex::number(std::string_view path) const {
  auto it = std::ranges::lower_bound(files_, path);
  return it != files_.end() && *it == path ? static_cast<std::uint32_t>(it - files_.begin())
                                           : file_count();
}

std::vector<bool> SourceIndex::users(const std::vector<std::string>& files) const {
  const std::size_t words = set_words();
  std::vector<std::uint64_t> reached(files_.size() * words, 0);
  std::vector<std::vector<std::uint32_t>> includers(files_.size());
  for (std::uint32_t i = 0; i < edges_.size(); ++i) {
    includers[edges_[i].to].push_back(i);
  }
  std::vector<std::uint32_t> work;
  auto reach = [&](std::uint32_t file, auto set) {
    bool grows = false;
    for (std::size_t k = 0; k < words; ++k) {
      std::uint64_t& bits = reached[file * words + k];
      std::uint64_t more = set(k) & ~bits;
      bits |= more;
      grows = grows || more != 0;
    }
    if (grows) {
      work.push_back(file);
    }
  };
  auto everywhere = [](std::size_t) { return ~std::uint64_t{0}; };
  for (const std::string& file : files) {
    std::uint32_t known = number(file);
    if (known != file_count()) {
      reach(known, everywhere);
      continue;
    }
    // A new file may be what an #include means from now on.
    for_each_line(spelled_, [&](std::string_view line) {
      std::string_view name = line.substr(0, line.find('\t'));
      std::string_view last = name.substr(name.rfind('/') + 1);
      bool plain = name.find("..") == std::string_view::npos;
      bool fits = plain ? file == name || file.ends_with(fmt::format("/{}", name))
                        : fs::path(file).filename() == last;
      if (!fits) {
        return;
      }
      for_each_number(line.substr(name.size()), [&](std::uint32_t includer) {
        if (includer < files_.size()) {
          reach(includer, everywhere);
        }
      });
    });
  }
  while (!work.empty()) {
    std::uint32_t file = work.back();
    work.pop_back();
    for (std::uint32_t number : includers[file]) {
      const Edge& edge = edges_[number];
      reach(edge.from, [&](std::size_t k) {
        return reached[file * words + k] & sets_[edge.ways * words + k];
      });
    }
  }
  auto is_reached = [&](std::string_view path, std::uint32_t way) {
    std::uint32_t file = number(path);
    return file != file_count() && ((reached[file * words + way / 64] >> (way % 64)) & 1) != 0;
  };
  std::vector<bool> by_option(ways_.size(), false);
  for (std::uint32_t way = 0; way < ways_.size(); ++way) {
    by_option[way] = std::ranges::any_of(
        ways_[way].first, [&](const std::string& file) { return is_reached(file, way); });
  }
  std::vector<bool> out(readers_.size());
  for (std::size_t i = 0; i < readers_.size(); ++i) {
    out[i] = by_option[readers_[i].way] || is_reached(readers_[i].source, readers_[i].way);
  }
  return out;
}

std::vector<bool> SourceIndex::files_of(const std::vector<bool>& readers) const {
  std::vector<std::vector<std::uint32_t>> includes(files_.size());
  for (const Edge& edge : edges_) {
    includes[edge.from].push_back(edge.to);
  }
  std::vector<bool> out(files_.size(), false);
  std::vector<std::uint32_t> work;
  auto take = [&](std::uint32_t file) {
    if (file != file_count() && !out[file]) {
      out[file] = true;
      work.push_back(file);
    }
  };
  std::vector<bool> ways(ways_.size(), false);
  for (std::size_t i = 0; i < readers.size(); ++i) {
    if (readers[i]) {
      take(number(readers_[i].source));
      ways[readers_[i].way] = true;
    }
  }
  for (std::size_t i = 0; i < ways.size(); ++i) {
    for (const std::string& file : ways[i] ? ways_[i].first : std::vector<std::string>{}) {
      take(number(file));
    }
  }
  while (!work.empty()) {
    std::uint32_t file = work.back();
    work.pop_back();
    std::ranges::for_each(includes[file], take);
  }
  return out;
}

std::vector<std::uint32_t> SourceIndex::files_naming(std::string_view name) const {
  const std::uint32_t hash = hash_of_name(name);
  const std::uint32_t bucket = hash >> rest_bits;
  const std::uint32_t rest = hash & ((1U << rest_bits) - 1);
  std::size_t at = buckets_[bucket];
  const std::size_t end = std::min<std::size_t>(buckets_[bucket + 1], list_.size());
  std::uint32_t now = 0;
  std::vector<std::uint32_t> out;
  while (at < end) {
    auto step = read_varint(list_, at);
    auto count = read_varint(list_, at);
    if (!step || !count) {
      break;
    }
    now += *step;
    std::uint32_t file = 0;
    for (std::uint32_t i = 0; i < *count; ++i) {
      file += read_varint(list_, at).value_or(0);
      if (now == rest && file < files_.size()) {
        out.push_back(file);
      }
    }
    if (now >= rest) {
      break;
    }
  }
  return out;
}

bool SourceIndex::is_naming_macro(std::string_view name) const {
  return std::ranges::binary_search(naming_macros_, hash_of_name(name));
}

bool SourceIndex::is_brace_macro(std::string_view name) const {
  return std::ranges::binary_search(brace_macros_, hash_of_name(name));
}

bool SourceIndex::is_option_set_by_hand(std::string_view name) const {
  return std::ranges::binary_search(options_, name) ||
         std::ranges::any_of(ways_, [&](const IncludeWay& way) {
           return std::ranges::find(way.names, name) != way.names.end();
         });
}

std::vector<std::string> SourceIndex::aliases(std::string_view name) const {
  std::vector<std::string> out;
  const std::string wanted = fmt::format("{}\t", name);
  for (auto it = std::ranges::lower_bound(aliases_, std::string_view(wanted));
       it != aliases_.end() && it->starts_with(wanted); ++it) {
    out.emplace_back(it->substr(wanted.size()));
  }
  return out;
}

}  // namespace suture::source
