// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: an index (source_index.h) of 30,000 files and half a gigabyte of text, in seconds and
// little memory.
//
// Method: begin with what the units compile, read each file once, see which files its #includes
// lead to by any of the ways to look, and go on with these. A computed #include may mean any header
// that is named in a macro: such a name counts as included by the file that defines the macro.
// Names are kept as 32-bit hashes, sorted into the list by their first bits, a part at a time.
//
// Invariant: an edge holds for a way if and only if the compiler, looking that way, finds that file
// for that #include; #include_next counts for all files that could be meant.
#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/parallel.h"
#include "base/text.h"
#include "source/configuration.h"
#include "source/index_format.h"

namespace suture::source {

namespace {

constexpr std::string_view format_line = "suture source index 4 ";

struct Included {
  std::string spelled;
  bool quoted = false;
  bool next = false;
  bool inside = false;  // a declaration or a list has begun before it
};

// A macro, and a name in what it stands for: hashes.
struct Naming {
  std::uint32_t name = 0, macro = 0;
  auto operator<=>(const Naming&) const = default;
};

// What one file says.
struct Facts {
  std::vector<Included> includes;
  std::vector<std::uint32_t> names;  // hashes, sorted
  std::vector<std::string> definitions;
  std::vector<std::uint32_t> naming_macros;  // hashes
  std::vector<std::uint32_t> brace_macros;   // hashes
  std::vector<Naming> plain_macros;          // without braces of their own
  std::string aliases;                       // lines "WORD\tMACRO"
  std::vector<NumberWord> numbers;           // of macros that stand for a short number
  std::vector<std::string> made;             // macros that stand for what others make
  std::vector<std::string> options;          // CONFIG_ names that it defines or takes away
};

// Keeps most of a file's repeated names from being kept again.
class Seen {
 public:
  void begin() { ++round_; }
  bool first(std::uint32_t hash) {
    Slot& slot = slots_[hash % slots_.size()];
    bool known = slot.round == round_ && slot.hash == hash;
    slot = {hash, round_};
    return !known;
  }

 private:
  struct Slot {
    std::uint32_t hash = 0, round = 0;
  };
  std::vector<Slot> slots_ = std::vector<Slot>(1 << 14);
  std::uint32_t round_ = 0;
};

template <class T>
void sort_unique(std::vector<T>& values) {
  std::ranges::sort(values);
  values.erase(std::ranges::unique(values).begin(), values.end());
}

std::string_view without_indent(std::string_view text) {
  std::size_t at = text.find_first_not_of(" \t");
  return at == std::string_view::npos ? std::string_view{} : text.substr(at);
}

// The file that stands between quotes or angle brackets at the text's start.
std::optional<Included> included_name(std::string_view text) {
  if (text.empty() || (text[0] != '"' && text[0] != '<')) {
    return std::nullopt;
  }
  std::size_t close = text.find(text[0] == '<' ? '>' : '"', 1);
  if (close == std::string_view::npos) {
    return std::nullopt;
  }
  return Included{.spelled = std::string(text.substr(1, close - 1)), .quoted = text[0] == '"'};
}

class FileReader {
 public:
  FileReader(Facts& facts, Seen& seen) : facts_(facts), seen_(seen) { seen_.begin(); }

  void read(std::string_view text) {
    Lexer lexer(text);
    Token last{.kind = TokenKind::punctuation, .text = ";"};
    for (Token token = lexer.next(); token.kind != TokenKind::end; token = lexer.next()) {
      if (token.kind == TokenKind::directive) {
        if (auto macro = read_number_macro(token.text)) {
          name(macro->name);
          number(macro->name, macro->number);
          option(read_directive(token.text));
          continue;
        }
        bool between =
            nesting_.depth() == 0 && (last.text == ";" || last.text == "}" || last.text == ")");
        directive(read_directive(token.text), !between);
        continue;
      }
      if (token.kind == TokenKind::name) {
        name(token.text);
      } else if (token.kind == TokenKind::punctuation) {
        nesting_.see(token);
      }
      last = token;
    }
    sort_unique(facts_.names);
  }

 private:
  void name(std::string_view text) {
    std::uint32_t hash = hash_of_name(text);
    if (seen_.first(hash)) {
      facts_.names.push_back(hash);
    }
  }

  void number(std::string_view macro, std::string_view value) {
    if (value.size() <= NumberWord::most) {
      facts_.numbers.emplace_back(hash_of_name(macro), value);
    }
  }

  void directive(const Directive& directive, bool inside) {
    if (directive.word.starts_with("include")) {
      if (auto included = included_name(without_indent(directive.rest))) {
        included->next = directive.word == "include_next";
        included->inside = inside;
        facts_.includes.push_back(std::move(*included));
        return;
      }
    }
    nesting_.see(directive);
    for_each_name(directive.rest, [&](std::string_view text) { name(text); });
    if (directive.word == "define") {
      define(directive.rest);
    }
    option(directive);
  }

  void option(const Directive& directive) {
    if (const std::string_view name = option_set_by(directive); !name.empty()) {
      facts_.options.emplace_back(name);
    }
  }

  static bool calls_a_macro(const Macro& macro) {
    for (std::size_t i = 0; i + 1 < macro.body.size(); ++i) {
      if (macro.body[i].kind == TokenKind::name && macro.body[i + 1].text == "(") {
        return true;
      }
    }
    return false;
  }

  void define(std::string_view rest) {
    Macro macro = read_macro(rest);
    std::uint32_t hash = hash_of_name(macro.name);
    if (!macro.names_nothing()) {
      facts_.naming_macros.push_back(hash);
    }
    if (macro.function_like) {
      // Its call is seen where it stands.
    } else if (macro.may_hold_braces()) {
      facts_.brace_macros.push_back(hash);
    } else {
      for (const Token& token : macro.body) {
        if (token.kind == TokenKind::name && !is_keyword(token.text)) {
          facts_.plain_macros.push_back({hash_of_name(token.text), hash});
        }
      }
    }
    bool pastes = std::ranges::any_of(macro.body, [](const Token& t) { return t.text == "##"; });
    bool calls = std::ranges::any_of(macro.body, [](const Token& t) { return t.text == "("; });
    if (pastes || (macro.function_like && !macro.parameters.empty() && calls)) {
      facts_.definitions.emplace_back(rest);
    }
    if (!macro.function_like && macro.body.size() == 1 && macro.body[0].kind == TokenKind::number) {
      number(macro.name, macro.body[0].text);
    } else if (!macro.function_like && macro.body.size() == 1 &&
               macro.body[0].kind == TokenKind::name) {
      facts_.aliases += fmt::format("{}\t{}\n", macro.body[0].text, macro.name);
    } else if (!macro.function_like && calls_a_macro(macro)) {
      facts_.made.emplace_back(macro.name);
    }
    // A computed #include may take its name from here.
    for (std::size_t at = rest.find_first_of("\"<"); at != std::string_view::npos;
         at = rest.find_first_of("\"<", at + 1)) {
      auto included = included_name(rest.substr(at));
      if (included && (included->spelled.ends_with(".h") || included->spelled.ends_with(".c")) &&
          included->spelled.find_first_of(" \t\"<") == std::string::npos) {
        facts_.includes.push_back(std::move(*included));
      }
    }
  }

  Facts& facts_;
  Seen& seen_;
  Nesting nesting_;
};

std::string_view directory_of(std::string_view path) {
  std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}

// "a/b" and "../c" are "a/c"; empty where it leads out of the tree.
std::string joined(std::string_view directory, std::string_view spelled) {
  std::string out(directory);
  while (!spelled.empty()) {
    std::string_view part = spelled.substr(0, spelled.find('/'));
    spelled.remove_prefix(std::min(spelled.size(), part.size() + 1));
    if (part.empty() || part == ".") {
      continue;
    }
    if (part == "..") {
      if (out.empty()) {
        return {};
      }
      out.resize(directory_of(out).size());
      continue;
    }
    out += out.empty() ? "" : "/";
    out += part;
  }
  return out;
}

constexpr std::uint32_t no_file = ~std::uint32_t{0};

// The tree's files, by path and by last name.
class Tree {
 public:
  explicit Tree(const fs::path& root) {
    std::error_code ec;
    const std::size_t skip = root.native().size() + 1;
    for (fs::recursive_directory_iterator at(root, ec), end; !ec && at != end; at.increment(ec)) {
      if (at->is_directory(ec)) {
        if (at->path().filename() == ".git" || at->path().filename() == "Documentation") {
          at.disable_recursion_pending();
        }
      } else {
        paths_.push_back(at->path().native().substr(skip));
      }
    }
    std::ranges::sort(paths_);
    for (std::uint32_t i = 0; i < paths_.size(); ++i) {
      by_name_[paths_[i].substr(directory_of(paths_[i]).size())].push_back(i);
    }
  }

  std::uint32_t find(std::string_view path) const {
    auto it = std::ranges::lower_bound(paths_, path);
    return it != paths_.end() && *it == path ? static_cast<std::uint32_t>(it - paths_.begin())
                                             : no_file;
  }
  const std::string& path(std::uint32_t file) const { return paths_[file]; }
  std::size_t size() const { return paths_.size(); }

  // Calls work(directory, file) for each directory that has a file of that spelling.
  template <class Work>
  void for_each_named(std::string_view spelled, const Work& work) const {
    for (const char* slash : {"", "/"}) {
      auto it = by_name_.find(slash + std::string(spelled.substr(spelled.rfind('/') + 1)));
      for (std::uint32_t file : it == by_name_.end() ? std::vector<std::uint32_t>{} : it->second) {
        std::string_view path = paths_[file];
        if (path == spelled) {
          work(std::string_view{}, file);
        } else if (path.size() > spelled.size() && path.ends_with(spelled) &&
                   path[path.size() - spelled.size() - 1] == '/') {
          work(path.substr(0, path.size() - spelled.size() - 1), file);
        }
      }
    }
  }

 private:
  std::vector<std::string> paths_;
  std::unordered_map<std::string, std::vector<std::uint32_t>>
      by_name_;  // "/x.h", in the root "x.h"
};

// Where the ways to look lead for each spelling.
class Resolver {
 public:
  struct Target {
    std::uint32_t file = 0, set = 0;
  };

  Resolver(const Tree& tree, const std::vector<IncludeWay>& ways) : tree_(tree) {
    for (const IncludeWay& way : ways) {
      auto& list = lists_.emplace_back();
      for (const auto* directories : {&way.quote, &way.angle}) {
        for (const std::string& directory : *directories) {
          auto number =
              numbers_.emplace(directory, static_cast<std::uint32_t>(numbers_.size())).first;
          list.directories.push_back(number->second);
        }
        list.quote = directories == &way.quote ? list.directories.size() : list.quote;
      }
    }
    Set all((ways.size() + 63) / 64, ~std::uint64_t{0});
    set_number(std::move(all));
  }

  // Beside the includer's own directory.
  const std::vector<Target>& find(const Included& included) {
    auto& kept = found_[included.quoted ? 1 : 0];
    auto it = kept.find(included.spelled);
    if (it == kept.end()) {
      it = kept.emplace(included.spelled, look(included)).first;
    }
    return it->second;
  }

  // Every file that has that spelling.
  std::vector<Target> find_all(const Included& included) {
    std::vector<Target> out;
    for (auto [directory, file] : directories_with(included.spelled)) {
      out.push_back({file, 0});
    }
    return out;
  }

  const std::vector<std::vector<std::uint64_t>>& sets() const { return sets_; }

 private:
  using Set = std::vector<std::uint64_t>;
  using Found = std::vector<std::pair<std::uint32_t, std::uint32_t>>;  // directory, file
  struct List {
    std::vector<std::uint32_t> directories;  // those for quotes first
    std::size_t quote = 0;
  };

  std::uint32_t set_number(Set set) {
    auto [it, added] =
        set_numbers_.emplace(std::move(set), static_cast<std::uint32_t>(sets_.size()));
    if (added) {
      sets_.push_back(it->first);
    }
    return it->second;
  }

  Found directories_with(const std::string& spelled) const {
    Found out;
    if (spelled.find("..") != std::string::npos) {
      for (const auto& [directory, number] : numbers_) {
        std::uint32_t file = tree_.find(joined(directory, spelled));
        if (file != no_file) {
          out.emplace_back(number, file);
        }
      }
    } else {
      tree_.for_each_named(spelled, [&](std::string_view directory, std::uint32_t file) {
        auto it = numbers_.find(directory);
        if (it != numbers_.end()) {
          out.emplace_back(it->second, file);
        }
      });
    }
    std::ranges::sort(out);
    return out;
  }

  std::vector<Target> look(const Included& included) {
    const Found found = directories_with(included.spelled);
    std::vector<std::uint32_t> key{included.quoted ? 1U : 0U};
    for (auto [directory, file] : found) {
      key.push_back(directory);
    }
    auto it = by_directories_.find(key);
    if (it == by_directories_.end()) {
      it = by_directories_.emplace(key, split_ways(found, included.quoted)).first;
    }
    std::vector<Target> out;
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (it->second[i] != no_file) {
        out.push_back({found[i].second, it->second[i]});
      }
    }
    return out;
  }

  // For each directory, the set of the ways that come to it first; nothing where none does.
  std::vector<std::uint32_t> split_ways(const Found& found, bool quoted) {
    std::vector<Set> sets(found.size(), Set((lists_.size() + 63) / 64, 0));
    std::vector<std::size_t> sizes(found.size(), 0);
    for (std::size_t way = 0; way < lists_.size(); ++way) {
      const List& list = lists_[way];
      for (std::size_t k = quoted ? 0 : list.quote; k < list.directories.size(); ++k) {
        auto it = std::ranges::find(found, list.directories[k], &Found::value_type::first);
        if (it != found.end()) {
          auto at = static_cast<std::size_t>(it - found.begin());
          sets[at][way / 64] |= std::uint64_t{1} << (way % 64);
          ++sizes[at];
          break;
        }
      }
    }
    std::vector<std::uint32_t> out;
    for (std::size_t i = 0; i < sets.size(); ++i) {
      out.push_back(sizes[i] == 0               ? no_file
                    : sizes[i] == lists_.size() ? 0
                                                : set_number(std::move(sets[i])));
    }
    return out;
  }

  const Tree& tree_;
  std::vector<List> lists_;
  std::map<std::string, std::uint32_t, std::less<>> numbers_;
  std::unordered_map<std::string, std::vector<Target>> found_[2];
  std::map<std::vector<std::uint32_t>, std::vector<std::uint32_t>> by_directories_;
  std::map<Set, std::uint32_t> set_numbers_;
  std::vector<Set> sets_;
};

template <class T>
void append_all(Bytes& out, const std::vector<T>& values) {
  ByteView bytes(reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof(T));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void append_varint(Bytes& out, std::uint32_t value) {
  for (; value >= 0x80; value >>= 7) {
    out.push_back(static_cast<std::uint8_t>(value | 0x80));
  }
  out.push_back(static_cast<std::uint8_t>(value));
}

Bytes bytes_of(std::string_view text) { return {as_bytes(text).begin(), as_bytes(text).end()}; }

}  // namespace

class IndexMaker {
 public:
  IndexMaker(const fs::path& root, const std::vector<IncludeWay>& ways)
      : root_(root), tree_(root), resolver_(tree_, ways), number_(tree_.size(), no_file) {}

  // Reads the file at that path, and all that it leads to.
  void begin(std::string_view path) {
    std::uint32_t file = tree_.find(path);
    if (file != no_file) {
      take(file);
    }
  }

  void run() {
    constexpr std::size_t at_once = 1000;  // what is read of them is in memory twice
    while (!waiting_.empty()) {
      const std::size_t count = std::min(waiting_.size(), at_once);
      std::vector<std::uint32_t> now(waiting_.end() - static_cast<std::ptrdiff_t>(count),
                                     waiting_.end());
      waiting_.resize(waiting_.size() - count);
      std::vector<Facts> facts(now.size());
      parallel_for(now.size(), [&](std::size_t i) {
        thread_local Seen repeated;
        if (auto file = MappedFile::open(root_ / tree_.path(now[i]))) {
          const std::string_view text = as_text(file->bytes());
          const bool whole = !text.contains('\\');
          const std::string joined = whole ? std::string() : joined_lines(std::string(text));
          FileReader(facts[i], repeated).read(whole ? text : joined);
        }
      });
      for (std::size_t i = 0; i < now.size(); ++i) {
        add(now[i], std::move(facts[i]));
      }
    }
  }

  std::array<Bytes, section_count> sections() {
    std::array<Bytes, section_count> out;
    auto section = [&](Section which) -> Bytes& { return out[static_cast<std::size_t>(which)]; };
    // Numbers are given anew, in the order of the paths.
    std::vector<std::uint32_t> order(files_.size());
    for (std::uint32_t i = 0; i < order.size(); ++i) {
      order[i] = i;
    }
    std::ranges::sort(order, {}, [&](std::uint32_t i) { return files_[i]; });  // the tree's order
    std::vector<std::uint32_t> renumbered(order.size());
    std::string paths;
    for (std::uint32_t i = 0; i < order.size(); ++i) {
      renumbered[order[i]] = i;
      paths += tree_.path(files_[order[i]]) + "\n";
      section(Section::flags).push_back(flags_[order[i]]);
    }
    section(Section::files) = bytes_of(paths);
    for (const auto& set : resolver_.sets()) {
      append_all(section(Section::sets), set);
    }
    sort_unique(edges_);
    for (const Edge& edge : edges_) {
      append_all(section(Section::edges),
                 std::vector{renumbered[edge.from], renumbered[edge.to], edge.ways});
    }
    section(Section::spelled) = bytes_of(spelled_text(renumbered));
    // A macro of a unit's own file is named where it is defined.
    std::vector<std::uint32_t> naming;
    for (std::size_t i = 0; i < naming_macros_.size(); ++i) {
      if (flags_[i] != 0) {
        naming.insert(naming.end(), naming_macros_[i].begin(), naming_macros_[i].end());
      }
    }
    sort_unique(naming);
    append_all(section(Section::naming_macros), naming);
    append_all(section(Section::brace_macros), macros_with_braces());
    section(Section::pastings) = bytes_of(pasting_text());
    section(Section::aliases) = bytes_of(alias_text());
    aliases_.clear();
    section(Section::options) = bytes_of(fmt::format("{}\n", fmt::join(options_, "\n")));
    write_names(order, section(Section::buckets), section(Section::list));
    names_.clear();
    return out;
  }

 private:
  struct Edge {
    std::uint32_t from = 0, to = 0, ways = 0;
    auto operator<=>(const Edge&) const = default;
  };

  std::uint32_t take(std::uint32_t file) {
    if (number_[file] == no_file) {
      number_[file] = static_cast<std::uint32_t>(files_.size());
      files_.push_back(file);
      flags_.push_back(0);
      names_.emplace_back();
      naming_macros_.emplace_back();
      waiting_.push_back(file);
    }
    return number_[file];
  }

  void add(std::uint32_t file, Facts facts) {
    const std::uint32_t from = number_[file];
    const std::string directory(directory_of(tree_.path(file)));
    const bool assembly = tree_.path(file).ends_with(".S");  // no declarations in it
    for (Included& included : facts.includes) {
      included.inside = included.inside && !assembly;
      spelled_[included.spelled].push_back(from);
      std::uint32_t own =
          included.quoted ? tree_.find(joined(directory, included.spelled)) : no_file;
      if (included.next) {
        link(from, resolver_.find_all(included), included);
      } else if (own != no_file) {
        link(from, {{own, 0}}, included);
      } else {
        link(from, resolver_.find(included), included);
      }
    }
    names_[from] = std::move(facts.names);
    names_[from].shrink_to_fit();
    auto append = [](auto& to, auto& what) { to.insert(to.end(), what.begin(), what.end()); };
    append(made_, facts.made);
    naming_macros_[from] = std::move(facts.naming_macros);
    for (std::uint32_t macro : facts.brace_macros) {
      brace_macros_.emplace_back(from, macro);
    }
    append(plain_macros_, facts.plain_macros);
    append(definitions_, facts.definitions);
    append(numbers_, facts.numbers);
    aliases_ += facts.aliases;
    if (tree_.path(file) != configuration_header) {
      options_.insert(facts.options.begin(), facts.options.end());
    }
  }

  void link(std::uint32_t from, const std::vector<Resolver::Target>& targets,
            const Included& included) {
    for (const Resolver::Target& target : targets) {
      std::uint32_t to = take(target.file);
      flags_[to] |= included.inside ? 3 : 1;
      edges_.push_back({from, to, target.set});
    }
  }

  // A macro that stands for one with braces has them, too.
  std::vector<std::uint32_t> macros_with_braces() {
    std::vector<std::uint32_t> out;
    for (auto [file, macro] : std::exchange(brace_macros_, {})) {
      if (flags_[file] != 0) {
        out.push_back(macro);
      }
    }
    sort_unique(out);
    std::vector<Naming> plain = std::exchange(plain_macros_, {});
    sort_unique(plain);
    std::unordered_set<std::uint32_t> known(out.begin(), out.end());
    for (std::size_t i = 0; i < out.size(); ++i) {
      for (const Naming& naming : std::ranges::equal_range(plain, out[i], {}, &Naming::name)) {
        if (known.insert(naming.macro).second) {
          out.push_back(naming.macro);
        }
      }
    }
    std::ranges::sort(out);
    return out;
  }

  std::string spelled_text(const std::vector<std::uint32_t>& renumbered) {
    std::string out;
    for (auto& [spelled, files] : spelled_) {
      sort_unique(files);
      out += spelled + "\t";
      for (std::uint32_t file : files) {
        out += fmt::format("{} ", renumbered[file]);
      }
      out += "\n";
    }
    return out;
  }

  std::string alias_text() const {
    std::vector<std::string_view> lines;
    for_each_line(aliases_, [&](std::string_view line) { lines.push_back(line); });
    sort_unique(lines);
    return fmt::format("{}\n", fmt::join(lines, "\n"));
  }

  std::string pasting_text() {
    Parts parts;
    parts.made.insert(made_.begin(), made_.end());
    std::string_view rest = aliases_;
    while (!rest.empty()) {
      std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(line.size() + 1);
      std::size_t tab = line.find('\t');
      parts.words.emplace_back(line.substr(tab + 1), line.substr(0, tab));
    }
    sort_unique(parts.words);
    sort_unique(numbers_);
    parts.numbers = std::exchange(numbers_, {});
    std::map<std::string, std::string> macros;  // of each pattern
    for (const Pasting& pasting : pastings(definitions_, parts)) {
      macros[pasting.pattern] += " " + pasting.macro;
    }
    definitions_ = {};
    made_ = {};
    std::string out;
    for (const auto& [pattern, names] : macros) {
      out.append(pattern).append("\t").append(names).append("\n");
    }
    return out;
  }

  // A sixteenth of the names at a time, so that only the hashes themselves are in memory.
  void write_names(const std::vector<std::uint32_t>& order, Bytes& buckets, Bytes& list) {
    constexpr unsigned part_bits = 4;
    std::vector<std::size_t> at(order.size(), 0);
    std::vector<std::uint32_t> starts;
    starts.reserve(bucket_count + 1);
    std::vector<std::uint64_t> part;
    for (std::uint64_t k = 1; k <= 1U << part_bits; ++k) {
      part.clear();
      for (std::uint32_t i = 0; i < order.size(); ++i) {
        const std::vector<std::uint32_t>& names = names_[order[i]];
        for (; at[i] < names.size() && names[at[i]] < k << (32 - part_bits); ++at[i]) {
          part.push_back(std::uint64_t{names[at[i]]} << 32 | i);
        }
      }
      std::ranges::sort(part);
      std::uint32_t last = 0;
      for (std::size_t i = 0; i < part.size();) {
        const auto hash = static_cast<std::uint32_t>(part[i] >> 32);
        for (; starts.size() <= hash >> rest_bits; last = 0) {
          starts.push_back(static_cast<std::uint32_t>(list.size()));
        }
        std::size_t end = i;
        while (end < part.size() && part[end] >> 32 == hash) {
          ++end;
        }
        const std::uint32_t rest = hash & ((1U << rest_bits) - 1);
        append_varint(list, rest - last);
        append_varint(list, static_cast<std::uint32_t>(end - i));
        last = rest;
        for (std::uint32_t file = 0; i < end; ++i) {
          append_varint(list, static_cast<std::uint32_t>(part[i]) - file);
          file = static_cast<std::uint32_t>(part[i]);
        }
      }
    }
    starts.resize(bucket_count + 1, static_cast<std::uint32_t>(list.size()));
    append_all(buckets, starts);
  }

  const fs::path& root_;
  Tree tree_;
  Resolver resolver_;
  std::vector<std::uint32_t> number_;  // of each of the tree's files
  std::vector<std::uint32_t> files_;   // the tree's number of each
  std::vector<std::uint8_t> flags_;
  std::vector<std::vector<std::uint32_t>> names_;
  std::vector<std::uint32_t> waiting_;
  std::vector<Edge> edges_;
  std::map<std::string, std::vector<std::uint32_t>> spelled_;
  std::vector<std::vector<std::uint32_t>> naming_macros_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> brace_macros_;  // file, macro
  std::vector<Naming> plain_macros_;
  std::vector<std::string> made_;
  std::vector<std::string> definitions_;
  std::vector<NumberWord> numbers_;
  std::string aliases_;
  std::set<std::string> options_;
};

Result<Bytes> make_index(const fs::path& tree, const std::vector<IncludeWay>& ways,
                         const std::vector<Reader>& readers, std::string_view key) {
  IndexMaker maker(tree, ways);
  for (const IncludeWay& way : ways) {
    for (const std::string& file : way.first) {
      maker.begin(file);
    }
  }
  for (const Reader& reader : readers) {
    maker.begin(reader.source);
  }
  maker.run();
  return write_sections(maker.sections(), key);
}

std::optional<std::array<ByteView, section_count>> read_sections(ByteView bytes,
                                                                 std::string_view key) {
  const std::string first = fmt::format("{}{}\n", format_line, key);
  if (!as_text(bytes).starts_with(first)) {
    return std::nullopt;
  }
  std::array<ByteView, section_count> out;
  std::size_t at = (first.size() + 7) / 8 * 8;
  for (ByteView& section : out) {
    auto size = read_le<std::uint64_t>(bytes, at);
    auto part = size ? slice(bytes, at + 8, *size) : std::nullopt;
    if (!part) {
      return std::nullopt;
    }
    section = *part;
    at += 8 + (*size + 7) / 8 * 8;
  }
  return out;
}

Bytes write_sections(std::array<Bytes, section_count> sections, std::string_view key) {
  Bytes out = bytes_of(fmt::format("{}{}\n", format_line, key));
  std::size_t size = out.size();
  for (const Bytes& section : sections) {
    size += section.size() + 16;
  }
  out.reserve(size);
  for (Bytes& section : sections) {
    out.resize((out.size() + 7) / 8 * 8);
    append_le<std::uint64_t>(out, section.size());
    out.insert(out.end(), section.begin(), section.end());
    section = {};
  }
  return out;
}

}  // namespace suture::source
