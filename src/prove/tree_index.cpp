// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: whether a patch holds all objects that a change reaches can be told only from the whole
// tree and everything that was shipped, and the proof may not ask those who made the patch.
//
// Method: every C and assembly file of the tree is read once (text.h), and every symbol table; what
// is kept is a file of sorted lists, which is mapped and searched where it lies.
//
// Invariants: the lists are only looked into within their bounds, which are checked when the file
// is opened; two names of one hash only make an answer of `shipped` larger and of `defined_beside`
// truer, at a chance of one in 2^40.
#include "prove/tree_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/parallel.h"
#include "kernel/decompress.h"

namespace suture::prove {

namespace {

constexpr std::string_view magic = "suture proof index 3";
constexpr std::size_t magic_room = 24;

bool is_read(std::string_view path) {
  constexpr std::string_view endings[] = {".c", ".h", ".inc", ".S", ".def", ".tbl"};
  return std::ranges::any_of(endings, [&](auto ending) { return path.ends_with(ending); });
}

// Nothing in there becomes a part of that architecture's kernel.
bool is_left_out(const fs::path& directory, std::string_view arch) {
  constexpr std::string_view names[] = {"tools", "Documentation", "samples", "scripts", ".git"};
  if (directory.parent_path() == "arch") {
    return directory.filename() != arch;
  }
  return std::ranges::find(names, directory.native()) != std::end(names);
}

std::vector<std::string> list_files(const fs::path& tree, std::string_view arch) {
  std::vector<std::string> out;
  std::error_code ec;
  for (fs::recursive_directory_iterator at(tree, ec), end; !ec && at != end; at.increment(ec)) {
    const fs::path relative = at->path().lexically_relative(tree);
    if (at->is_directory(ec)) {
      if (is_left_out(relative, arch)) {
        at.disable_recursion_pending();
      }
    } else if (is_read(relative.native())) {
      out.push_back(relative.string());
    }
  }
  std::ranges::sort(out);
  return out;
}

// What assembly defines: SYM_FUNC_START(name) and its like.
void add_assembled(std::string_view text, std::vector<std::uint64_t>& out) {
  for (std::size_t at = text.find("\nSYM_"); at != std::string_view::npos;
       at = text.find("\nSYM_", at + 1)) {
    const std::size_t open = text.find('(', at);
    const std::size_t end = text.find_first_of(",)\n", at + 1);
    if (open < end && end != std::string_view::npos) {
      out.push_back(hash_of(text.substr(open + 1, end - open - 1)));
    }
  }
}

// The names of the functions in a module's symbol table; nothing where it is damaged.
std::vector<std::uint64_t> functions_of(ByteView file) {
  std::vector<std::uint64_t> out;
  Elf64_Ehdr header;
  if (file.size() < sizeof(header)) {
    return out;
  }
  std::memcpy(&header, file.data(), sizeof(header));
  auto section = [&](std::uint64_t index) {
    Elf64_Shdr got{};
    const auto bytes = index < header.e_shnum
                           ? slice(file, header.e_shoff + index * sizeof(got), sizeof(got))
                           : std::nullopt;
    if (bytes) {
      std::memcpy(&got, bytes->data(), sizeof(got));
    }
    return got;
  };
  for (std::uint64_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr symbols = section(i);
    if (symbols.sh_type != SHT_SYMTAB) {
      continue;
    }
    const Elf64_Shdr strings = section(symbols.sh_link);
    const auto table = slice(file, symbols.sh_offset, symbols.sh_size);
    const auto names = slice(file, strings.sh_offset, strings.sh_size);
    if (!table || !names) {
      return out;
    }
    for (std::size_t at = 0; at + sizeof(Elf64_Sym) <= table->size(); at += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol;
      std::memcpy(&symbol, table->data() + at, sizeof(symbol));
      if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) {
        continue;
      }
      const std::string_view name =
          source_name(read_cstr(*names, symbol.st_name).value_or(std::string_view{}));
      if (!name.empty()) {
        out.push_back(hash_of(name));
      }
    }
  }
  return out;
}

std::vector<std::uint64_t> functions_in(const fs::path& module) {
  auto mapped = MappedFile::open(module);
  if (!mapped) {
    return {};
  }
  if (kernel::compression_of(mapped->bytes()) == kernel::Compression::none) {
    return functions_of(mapped->bytes());
  }
  auto unpacked = kernel::decompress(mapped->bytes(), module.string());
  return unpacked ? functions_of(*unpacked) : std::vector<std::uint64_t>{};
}

template <class T>
void append_list(Bytes& out, const std::vector<T>& list) {
  append_le<std::uint64_t>(out, list.size() * sizeof(T));
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(list.data());
  out.insert(out.end(), bytes, bytes + list.size() * sizeof(T));
  out.resize((out.size() + 7) / 8 * 8);
}

// The next list of a mapped file.
template <class T>
std::optional<std::span<const T>> take_list(ByteView& rest) {
  const auto size = read_le<std::uint64_t>(rest, 0);
  if (!size || *size % sizeof(T) != 0 || *size > rest.size() - 8) {
    return std::nullopt;
  }
  const ByteView bytes = rest.subspan(8, *size);
  rest = rest.subspan(std::min<std::size_t>(rest.size(), 8 + (*size + 7) / 8 * 8));
  return std::span(reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T));
}

}  // namespace

std::string_view last_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

std::string_view source_name(std::string_view symbol) {
  if (symbol.contains(".cold") || symbol.starts_with("__pfx_") || symbol.starts_with(".")) {
    return {};
  }
  return symbol.substr(0, symbol.find('.'));
}

struct TreeIndex::Building {
  std::string texts;
  std::vector<Text> files, objects;
  std::vector<Edge> edges;
  std::vector<Named> included, functions, shipped;

  Text keep(std::string_view text) {
    const Text out{static_cast<std::uint32_t>(texts.size()),
                   static_cast<std::uint32_t>(text.size())};
    texts += text;
    return out;
  }
  void sort() {
    for (std::vector<Named>* list : {&included, &functions, &shipped}) {
      std::ranges::sort(*list, [](const Named& a, const Named& b) {
        return std::pair(a.hash, a.what) < std::pair(b.hash, b.what);
      });
    }
  }

  void add_tree(const Kernel& kernel) {
    struct ReadFile {
      struct Include {
        std::string spelled;
        bool quoted, certain;
      };
      std::vector<Include> includes;
      std::vector<std::uint64_t> functions;
    };
    const std::vector<std::string> paths = list_files(kernel.tree, kernel.arch);
    std::vector<ReadFile> read(paths.size());
    parallel_for(paths.size(), [&](std::size_t i) {
      auto mapped = MappedFile::open(kernel.tree / paths[i]);
      if (!mapped) {
        return;
      }
      const FileText found = read_c(as_text(mapped->bytes()), *kernel.configuration);
      for (const Inclusion& one : found.includes) {
        read[i].includes.emplace_back(std::string(one.spelled), one.quoted, one.certain);
      }
      for (const Item& item : found.items) {
        if (item.kind == ItemKind::function) {
          read[i].functions.push_back(hash_of(item.name));
        }
      }
      if (paths[i].ends_with(".S")) {
        add_assembled(as_text(mapped->bytes()), read[i].functions);
      }
      std::ranges::sort(read[i].functions);
      read[i].functions.erase(std::ranges::unique(read[i].functions).begin(),
                              read[i].functions.end());
    });
    std::map<std::string, Text, std::less<>> spelled;
    for (std::uint32_t i = 0; i < paths.size(); ++i) {
      files.push_back(keep(paths[i]));
      for (const auto& [name, quoted, certain] : read[i].includes) {
        auto known = spelled.find(name);
        if (known == spelled.end()) {
          known = spelled.emplace(name, keep(name)).first;
        }
        included.push_back(
            Named{hash_of(last_name(name)), static_cast<std::uint32_t>(edges.size()), 0});
        edges.push_back(Edge{known->second, i, std::uint16_t{quoted}, std::uint16_t{certain}});
      }
      for (const std::uint64_t hash : read[i].functions) {
        functions.push_back(Named{hash, i, 0});
      }
    }
  }

  void add_shipped(const Kernel& kernel) {
    objects.push_back(keep("vmlinux"));
    for (const kernel::RunSymbol& symbol : kernel.image->symbols().all()) {
      const std::string_view name = symbol.is_text() ? source_name(symbol.name) : "";
      if (!name.empty()) {
        shipped.push_back(Named{hash_of(name), 0, 0});
      }
    }
    std::vector<const fs::path*> modules;
    for (const auto& [name, path] : kernel.modules) {
      objects.push_back(keep(name));
      modules.push_back(&path);
    }
    std::vector<std::vector<std::uint64_t>> names(modules.size());
    parallel_for(modules.size(), [&](std::size_t i) { names[i] = functions_in(*modules[i]); });
    for (std::uint32_t i = 0; i < names.size(); ++i) {
      for (const std::uint64_t hash : names[i]) {
        shipped.push_back(Named{hash, i + 1, 0});
      }
    }
  }
};

Bytes TreeIndex::serialize(const Building& built) {
  Bytes out(magic_room, 0);
  std::ranges::copy(as_bytes(magic), out.begin());
  append_list(out, std::vector<char>(built.texts.begin(), built.texts.end()));
  append_list(out, built.files);
  append_list(out, built.objects);
  append_list(out, built.edges);
  append_list(out, built.included);
  append_list(out, built.functions);
  append_list(out, built.shipped);
  return out;
}

Status TreeIndex::read(MappedFile file, const fs::path& kept) {
  file_ = std::move(file);
  ByteView rest = file_.bytes();
  auto bad = [&] { return fail(Code::not_cached, kept.string(), "it is of another version"); };
  if (rest.size() < magic_room || !as_text(rest).starts_with(magic)) {
    return bad();
  }
  rest = rest.subspan(magic_room);
  const auto texts = take_list<char>(rest);
  const auto files = take_list<Text>(rest);
  const auto objects = take_list<Text>(rest);
  const auto edges = take_list<Edge>(rest);
  const auto included = take_list<Named>(rest);
  const auto functions = take_list<Named>(rest);
  const auto shipped = take_list<Named>(rest);
  if (!texts || !files || !objects || !edges || !included || !functions || !shipped) {
    return bad();
  }
  auto good = [&](Text text) {
    return text.offset <= texts->size() && text.size <= texts->size() - text.offset;
  };
  auto below = [](std::span<const Named> list, std::size_t count) {
    return std::ranges::all_of(list, [&](const Named& one) { return one.what < count; });
  };
  if (!std::ranges::all_of(*files, good) || !std::ranges::all_of(*objects, good) ||
      !std::ranges::all_of(
          *edges,
          [&](const Edge& edge) { return good(edge.spelled) && edge.from < files->size(); }) ||
      !below(*included, edges->size()) || !below(*functions, files->size()) ||
      !below(*shipped, objects->size())) {
    return bad();
  }
  texts_ = {texts->data(), texts->size()};
  files_ = *files;
  objects_ = *objects;
  edges_ = *edges;
  included_ = *included;
  functions_ = *functions;
  shipped_ = *shipped;
  return {};
}

Result<TreeIndex> TreeIndex::open(const Kernel& kernel, const fs::path& kept) {
  TreeIndex index;
  index.arch_ = kernel.arch;
  auto mapped = MappedFile::open(kept);
  if (mapped && index.read(std::move(*mapped), kept)) {
    return index;
  }
  Building built;
  built.add_tree(kernel);
  built.add_shipped(kernel);
  built.sort();
  const Bytes bytes = serialize(built);
  TRY(make_directories(kept.parent_path()));
  TRY(write_file(kept, bytes));
  MappedFile written = TRY(MappedFile::open(kept));
  TRY(index.read(std::move(written), kept));
  return index;
}

std::span<const TreeIndex::Named> TreeIndex::equal(std::span<const Named> all, std::uint64_t hash) {
  const auto found = std::ranges::equal_range(all, hash, {}, &Named::hash);
  return {found.begin(), found.end()};
}

std::optional<std::uint32_t> TreeIndex::find(std::string_view path) const {
  const auto at = std::ranges::lower_bound(files_, path, {}, [&](Text file) { return text(file); });
  if (at == files_.end() || text(*at) != path) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(at - files_.begin());
}

bool TreeIndex::defined_beside(std::string_view name, std::span<const std::string> files) const {
  return std::ranges::any_of(equal(functions_, hash_of(name)), [&](const Named& one) {
    return std::ranges::find(files, path(one.what)) == files.end();
  });
}

std::map<std::string_view, std::size_t> TreeIndex::shipped(std::string_view name) const {
  std::map<std::string_view, std::size_t> out;
  for (const Named& one : equal(shipped_, hash_of(name))) {
    ++out[text(objects_[one.what])];
  }
  return out;
}

// The file that a quoted name means where it lies beside the one that includes it.
std::optional<std::string> TreeIndex::beside(const Edge& edge) const {
  if (edge.quoted == 0) {
    return std::nullopt;
  }
  const fs::path from(path(edge.from));
  std::string out = (from.parent_path() / text(edge.spelled)).lexically_normal().string();
  return find(out) ? std::optional(std::move(out)) : std::nullopt;
}

// A quoted name is looked for beside the file first. Whatever else is told by kbuild's options, and
// is taken for every file that ends so, where none of the kernel's own directories has it.
bool TreeIndex::means(const Edge& edge, std::string_view wanted) const {
  if (const auto found = beside(edge)) {
    return *found == wanted;
  }
  std::string_view spelled = text(edge.spelled);
  while (spelled.starts_with("../") || spelled.starts_with("./")) {
    spelled.remove_prefix(spelled.find('/') + 1);
  }
  const std::string name(spelled);
  bool known = false;
  for (const std::string& root :
       {"arch/" + arch_ + "/include/", "arch/" + arch_ + "/include/generated/",
        std::string("include/"), "arch/" + arch_ + "/include/uapi/",
        "arch/" + arch_ + "/include/generated/uapi/", std::string("include/uapi/"),
        std::string("include/generated/uapi/")}) {
    if (root + name == wanted) {
      return true;
    }
    known = known || find(root + name).has_value();
  }
  return !known && (wanted == spelled || wanted.ends_with("/" + name));
}

std::vector<std::uint32_t> TreeIndex::carriers(std::string_view wanted, Inclusions which) const {
  std::set<std::uint32_t> out;
  std::vector<std::string_view> work{wanted};
  if (const auto self = find(wanted)) {
    out.insert(*self);
  }
  while (!work.empty()) {
    const std::string_view next = work.back();
    work.pop_back();
    for (const Named& one : equal(included_, hash_of(last_name(next)))) {
      const Edge& edge = edges_[one.what];
      const bool counts = which == Inclusions::all || edge.certain != 0;
      if (counts && !out.contains(edge.from) && means(edge, next)) {
        out.insert(edge.from);
        work.push_back(path(edge.from));
      }
    }
  }
  return {out.begin(), out.end()};
}

}  // namespace suture::prove
