// SPDX-License-Identifier: GPL-2.0-or-later
#include "prove/mutate.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace suture::test {

namespace {

using Sizes = std::map<std::string, std::uint64_t, std::less<>>;
using Field = ModuleFile::Field;

struct Table {
  const char* section;
  const char* size_name;  // as the glue calls it; null: `size` counts
  std::uint64_t size;
};

// include/asm-generic/bug.h, arch/x86/include/asm/{alternative,extable,jump_label,...}.h
constexpr Table tables[] = {{"__bug_table", "bug_entry", 0},
                            {".altinstructions", "alt_instr", 0},
                            {"__ex_table", "exception_table_entry", 0},
                            {"__jump_table", "jump_entry", 0},
                            {".static_call_sites", nullptr, 8},
                            {".parainstructions", nullptr, 16},
                            {".smp_locks", nullptr, 4},
                            {".return_sites", nullptr, 4},
                            {".retpoline_sites", nullptr, 4},
                            {"__mcount_loc", nullptr, 8}};

class Maker {
 public:
  Maker(const Bytes& good, const Sizes& sizes, const Positions& positions, std::mt19937& random)
      : good_(good), file_(good), sizes_(sizes), positions_(positions), random_(random) {}

  std::vector<Mutant> run() {
    for (std::size_t i = 1; i < file_.sections(); ++i) {
      const std::string name = file_.name(i);
      const Elf64_Shdr header = file_.section(i);
      if ((header.sh_flags & SHF_ALLOC) == 0 || name.starts_with(".init") ||
          name.starts_with(".exit") || header.sh_type == SHT_RELA) {
        continue;
      }
      if ((header.sh_flags & SHF_EXECINSTR) != 0) {
        code_.push_back(i);
      } else if (name.starts_with(".data") || name.starts_with(".rodata")) {
        data_.push_back(i);
      }
    }
    swap_targets(R_X86_64_PLT32, "swapped call", 5);
    swap_targets(R_X86_64_32S, "swapped data", 3);
    change_addends(code_, 5);
    change_addends(data_, 3);
    change_bytes();
    lose_cold_parts();
    for (const Table& table : tables) {
      change_table(table);
    }
    change_unwinding();
    if (size("klp_patch") != 0) {
      change_positions();
      leave_a_function_out();
      cross_redirects();
      change_callbacks();
      change_states();
    }
    return std::move(out_);
  }

 private:
  void add(std::string kind, std::string what, const ModuleFile& file) {
    out_.push_back(Mutant{std::move(kind), std::move(what), file.bytes()});
  }

  template <class T>
  std::vector<T> some(std::vector<T> all, std::size_t most) {
    for (std::size_t i = 0; i < all.size() && i < most; ++i) {
      std::swap(all[i], all[i + random_() % (all.size() - i)]);
    }
    all.resize(std::min(all.size(), most));
    return all;
  }

  std::string where(const Field& field) const {
    return fmt::format("{}+{:#x}", file_.name(file_.section(field.list).sh_info),
                       field.value.r_offset);
  }

  // "OBJECT", "NAME" and position of a livepatch symbol.
  struct Livepatch {
    std::string object, name;
    std::uint64_t position = 0;
  };
  static std::optional<Livepatch> livepatch(const std::string& symbol) {
    const std::string prefix = ".klp.sym.";
    const std::size_t dot = symbol.find('.', prefix.size());
    const std::size_t comma = symbol.find(',');
    if (!symbol.starts_with(prefix) || dot == std::string::npos || comma == std::string::npos) {
      return std::nullopt;
    }
    return Livepatch{symbol.substr(prefix.size(), dot - prefix.size()),
                     symbol.substr(dot + 1, comma - dot - 1), std::stoul(symbol.substr(comma + 1))};
  }

  // What a symbol stands for, so that two names of one thing are the same.
  std::string identity(const Field& field) const {
    const std::size_t symbol = ELF64_R_SYM(field.value.r_info);
    const Elf64_Sym raw = file_.symbol(symbol);
    const std::string name = file_.symbol_name(symbol);
    const auto addend = static_cast<std::uint64_t>(field.value.r_addend);
    if (raw.st_shndx != SHN_UNDEF && raw.st_shndx < SHN_LORESERVE) {
      return fmt::format("in {}+{:#x}", raw.st_shndx, raw.st_value + addend);
    }
    const auto klp = livepatch(name);
    const auto places = positions_(klp ? klp->object : "vmlinux", klp ? klp->name : name);
    const std::uint64_t index = klp && klp->position != 0 ? klp->position - 1 : 0;
    return index < places.size() && (klp || places.size() == 1)
               ? fmt::format("at {:#x}", places[index] + addend)
               : fmt::format("{}{:+}", name, field.value.r_addend);
  }

  void swap_targets(std::uint32_t type, const char* kind, std::size_t most) {
    std::vector<std::pair<Field, Field>> pairs;
    for (std::size_t section : code_) {
      const std::vector<Field> all = file_.fields(section);
      for (std::size_t i = 0; i < all.size(); ++i) {
        for (std::size_t k = i + 1; k < std::min(all.size(), i + 8); ++k) {
          if (ELF64_R_TYPE(all[i].value.r_info) == type &&
              ELF64_R_TYPE(all[k].value.r_info) == type && all[i].list == all[k].list &&
              !is_text(all[i]) && !is_text(all[k]) && identity(all[i]) != identity(all[k])) {
            pairs.emplace_back(all[i], all[k]);
          }
        }
      }
    }
    for (auto [a, b] : some(std::move(pairs), most)) {
      ModuleFile file = file_;
      std::swap(a.value.r_info, b.value.r_info);
      std::swap(a.value.r_addend, b.value.r_addend);
      file.set(a);
      file.set(b);
      add(kind, fmt::format("{} and {}", where(a), where(b)), file);
    }
  }

  std::size_t target_section(const Field& field) const {
    const Elf64_Sym symbol = file_.symbol(ELF64_R_SYM(field.value.r_info));
    return symbol.st_shndx < SHN_LORESERVE ? symbol.st_shndx : 0;
  }
  // Strings and constants may be there twice.
  bool is_text(const Field& field) const {
    const std::size_t target = target_section(field);
    return target != 0 &&
           (file_.name(target).contains(".str") || file_.name(target).contains(".cst"));
  }
  // Nothing is ever read from what has no size.
  bool is_empty(const Field& field) const {
    const std::size_t target = target_section(field);
    return target != 0 && file_.section(target).sh_size == 0;
  }

  void change_addends(const std::vector<std::size_t>& sections, std::size_t most) {
    std::vector<Field> all;
    for (std::size_t section : sections) {
      for (const Field& field : file_.fields(section)) {
        if (!is_text(field) && !is_empty(field)) {
          all.push_back(field);
        }
      }
    }
    for (Field field : some(std::move(all), most)) {
      ModuleFile file = file_;
      field.value.r_addend += random_() % 2 == 0 ? 8 : 1;
      file.set(field);
      add("changed addend", where(field), file);
    }
  }

  // Another position of the same name, where the name has another address.
  std::vector<std::uint64_t> other_positions(const Livepatch& symbol) const {
    std::vector<std::uint64_t> out;
    const auto places = positions_(symbol.object, symbol.name);
    for (std::uint64_t i = 1; symbol.position != 0 && i <= places.size() && i < 10; ++i) {
      if (symbol.position < 10 && symbol.position <= places.size() &&
          places[i - 1] != places[symbol.position - 1]) {
        out.push_back(i);
      }
    }
    return out;
  }

  void change_positions() {
    for (std::size_t i = 1; i < file_.symbols(); ++i) {
      const std::string name = file_.symbol_name(i);
      const auto klp = livepatch(name);
      for (std::uint64_t other :
           klp ? some(other_positions(*klp), 2) : std::vector<std::uint64_t>{}) {
        ModuleFile file = file_;
        const std::string wrong = name.substr(0, name.find(',') + 1) + std::to_string(other);
        if (file.replace(file.find(".strtab"), name + '\0', wrong + '\0')) {
          add("wrong sympos", fmt::format("{} instead of {}", wrong, name), file);
        }
      }
    }
    for (const Function& function : functions()) {
      const Livepatch symbol{function.object, function.name, function.position};
      for (std::uint64_t other : some(other_positions(symbol), 2)) {
        ModuleFile file = file_;
        file.byte(patch_section(), function.at + size("klp_func.old_sympos")) =
            static_cast<std::uint8_t>(other);
        const std::string stated =
            fmt::format("suture.func={} {} ", function.object, function.name);
        say(file, fmt::format("{}{} ", stated, function.position),
            fmt::format("{}{} ", stated, other));
        add("wrong sympos", fmt::format("{} redirected at {}", function.name, other), file);
      }
    }
  }

  // Bytes of code, and of strings and tables, that no relocation writes.
  void change_bytes() {
    for (const auto* sections : {&code_, &data_}) {
      std::vector<std::pair<std::size_t, std::uint64_t>> all;
      for (std::size_t section : *sections) {
        const ByteView bytes = file_.data(section);
        std::vector<bool> written(bytes.size() + 8, false);
        for (const Field& field : file_.fields(section)) {
          std::fill_n(written.begin() + static_cast<std::ptrdiff_t>(field.value.r_offset), 8, true);
        }
        for (std::size_t i = 0; i < bytes.size(); ++i) {
          if (!written[i] && bytes[i] != 0 && bytes[i] != 0xcc) {
            all.emplace_back(section, i);
          }
        }
      }
      for (const auto& [section, offset] : some(std::move(all), 4)) {
        ModuleFile file = file_;
        file.byte(section, offset) ^= 1;
        add("changed byte", fmt::format("{}+{:#x}", file_.name(section), offset), file);
      }
    }
  }

  void lose_cold_parts() {
    for (std::size_t i = 1; i < file_.symbols(); ++i) {
      const std::string name = file_.symbol_name(i);
      const Elf64_Sym cold = file_.symbol(i);
      if (!name.ends_with(".cold") || cold.st_shndx >= SHN_LORESERVE || cold.st_size == 0) {
        continue;
      }
      ModuleFile file = file_;
      for (std::uint64_t k = 0; k < cold.st_size; ++k) {
        file.byte(cold.st_shndx, cold.st_value + k) = 0xcc;
      }
      std::vector<Field> fields = file_.fields(cold.st_shndx);
      for (auto it = fields.rbegin(); it != fields.rend(); ++it) {
        file.drop(*it);
      }
      add("dropped .cold", name, file);
      jump_past_cold_part(name, cold);
    }
  }

  // Whoever jumps into the part jumps to its function instead.
  void jump_past_cold_part(const std::string& name, const Elf64_Sym& cold) {
    ModuleFile file = file_;
    bool changed = false;
    for (std::size_t section : code_) {
      for (Field field : file_.fields(section)) {
        if (target_section(field) == cold.st_shndx && section != cold.st_shndx) {
          field.value.r_info = ELF64_R_INFO(section, ELF64_R_TYPE(field.value.r_info));
          field.value.r_addend = -4;
          file.set(field);
          changed = true;
        }
      }
    }
    if (changed) {
      add("dropped .cold", name + " jumped past", file);
    }
  }

  std::uint64_t size(const std::string& constant) const {
    auto it = sizes_.find(constant);
    return it == sizes_.end() ? 0 : it->second;
  }

  void change_table(const Table& table) {
    const std::size_t section = file_.find(table.section);
    const std::uint64_t step = table.size_name == nullptr ? table.size : size(table.size_name);
    if (section == 0 || step == 0) {
      return;
    }
    std::vector<std::uint64_t> entries;
    for (std::uint64_t at = 0; at + step <= file_.section(section).sh_size; at += step) {
      entries.push_back(at);
    }
    for (std::uint64_t at : some(entries, 2)) {
      ModuleFile file = file_;
      file.cut(section, at, step);
      add("dropped entry", fmt::format("{}+{:#x}", table.section, at), file);
    }
    for (std::uint64_t at : some(entries, 2)) {
      shift(section, at, "shifted entry");
    }
  }

  void shift(std::size_t section, std::uint64_t at, const char* kind) {
    for (Field field : file_.fields(section)) {
      if (field.value.r_offset == at) {
        ModuleFile file = file_;
        field.value.r_addend += 1;
        file.set(field);
        add(kind, where(field), file);
      }
    }
  }

  void change_unwinding() {
    const std::size_t rows = file_.find(".orc_unwind");
    const std::size_t places = file_.find(".orc_unwind_ip");
    if (rows == 0 || places == 0) {
      return;
    }
    const std::uint64_t count = file_.section(places).sh_size / 4;
    const std::uint64_t step = file_.section(rows).sh_size / count;
    std::vector<std::uint64_t> all(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      all[i] = i;
    }
    for (std::uint64_t row : some(all, 2)) {
      ModuleFile file = file_;
      file.cut(rows, row * step, step);
      file.cut(places, row * 4, 4);
      add("dropped ORC", fmt::format("row {}", row), file);
    }
    for (std::uint64_t row : some(all, 2)) {
      shift(places, row * 4, "shifted ORC");
    }
    for (std::uint64_t row : some(all, 1)) {
      ModuleFile file = file_;
      file.byte(rows, row * step) ^= 8;
      add("changed ORC", fmt::format("row {}", row), file);
    }
  }

  struct Function {
    std::string object, name;
    std::uint64_t position = 0;
    std::uint64_t at = 0;  // in the patch's data
    bool last = false;     // of its object
    Field old_name, new_func;
  };

  std::size_t patch_section() const { return file_.find(".data.suture_patch"); }

  std::optional<Field> pointer(std::uint64_t at) const {
    for (const Field& field : file_.fields(patch_section())) {
      if (field.value.r_offset == at) {
        return field;
      }
    }
    return std::nullopt;
  }
  std::string text(const Field& field) const {
    return std::string(*read_cstr(file_.data(target_section(field)),
                                  static_cast<std::uint64_t>(field.value.r_addend)));
  }

  // What the patch redirects, read from its data: struct klp_patch comes first.
  std::vector<Function> functions() const {
    std::vector<Function> out;
    const auto objects = pointer(size("klp_patch.objs"));
    for (auto object = static_cast<std::uint64_t>(objects->value.r_addend);;
         object += size("klp_object")) {
      const auto name = pointer(object + size("klp_object.name"));
      const auto list = pointer(object + size("klp_object.funcs"));
      if (!list) {
        return out;
      }
      auto at = static_cast<std::uint64_t>(list->value.r_addend);
      while (auto old_name = pointer(at + size("klp_func.old_name"))) {
        out.push_back(Function{.object = name ? text(*name) : "vmlinux",
                               .name = text(*old_name),
                               .position = *read_le<std::uint64_t>(
                                   file_.data(patch_section()), at + size("klp_func.old_sympos")),
                               .at = at,
                               .old_name = *old_name,
                               .new_func = *pointer(at + size("klp_func.new_func"))});
        at += size("klp_func");
      }
      if (!out.empty()) {
        out.back().last = true;
      }
    }
  }

  // Wherever the module says it of itself.
  static void say(ModuleFile& file, const std::string& from, const std::string& to) {
    file.replace(file.find(".modinfo"), from, to);
    file.replace(file.find(".note.suture"), from, to);
  }

  // The last of an object's functions, which ends its array one earlier; what the module says of
  // itself is changed along.
  void leave_a_function_out() {
    for (const Function& function : functions()) {
      if (!function.last) {
        continue;
      }
      ModuleFile file = file_;
      std::vector<Field> gone{function.old_name, function.new_func};
      std::ranges::sort(gone, std::greater{}, [](const Field& field) { return field.entry; });
      for (const Field& field : gone) {
        file.drop(field);
      }
      file.byte(patch_section(), function.at + size("klp_func.old_sympos")) = 0;
      const std::string stated =
          fmt::format("{} {} {} ", function.object, function.name, function.position);
      say(file, "suture.func=" + stated, "suture.left=" + stated);
      add("function left out", function.name, file);
    }
  }

  void cross_redirects() {
    const std::vector<Function> all = functions();
    std::vector<std::pair<Function, Function>> pairs;
    for (std::size_t i = 0; i + 1 < all.size(); ++i) {
      pairs.emplace_back(all[i], all[i + 1]);
    }
    for (auto [a, b] : some(std::move(pairs), 3)) {
      ModuleFile file = file_;
      std::swap(a.new_func.value.r_info, b.new_func.value.r_info);
      std::swap(a.new_func.value.r_addend, b.new_func.value.r_addend);
      file.set(a.new_func);
      file.set(b.new_func);
      add("crossed redirects", fmt::format("{} and {}", a.name, b.name), file);
    }
  }

  static constexpr const char* callback_kinds[] = {"pre_patch", "post_patch", "pre_unpatch",
                                                   "post_unpatch"};

  void change_callbacks() {
    const auto objects = pointer(size("klp_patch.objs"));
    std::vector<Field> callbacks;
    for (const char* kind : callback_kinds) {
      auto field = pointer(static_cast<std::uint64_t>(objects->value.r_addend) +
                           size(fmt::format("klp_object.callbacks.{}", kind)));
      if (field) {
        callbacks.push_back(*field);
        ModuleFile file = file_;
        file.drop(*field);
        add("dropped callback", kind, file);
      }
    }
    for (std::size_t i = 0; i + 1 < callbacks.size(); ++i) {
      ModuleFile file = file_;
      Field a = callbacks[i];
      Field b = callbacks[i + 1];
      std::swap(a.value.r_info, b.value.r_info);
      std::swap(a.value.r_addend, b.value.r_addend);
      file.set(a);
      file.set(b);
      add("crossed callbacks", fmt::format("{} and the next", i), file);
    }
  }

  void change_states() {
    const auto states = pointer(size("klp_patch.states"));
    if (!states) {
      return;
    }
    const auto at = static_cast<std::uint64_t>(states->value.r_addend);
    const auto id = *read_le<std::uint64_t>(file_.data(patch_section()), at + size("klp_state.id"));
    ModuleFile file = file_;
    const std::uint8_t version = file.byte(patch_section(), at + size("klp_state.version"))++;
    const std::string stated = fmt::format("suture.state={} ", id);
    say(file, fmt::format("{}{}", stated, version), fmt::format("{}{}", stated, version + 1));
    add("another state", stated, file);
    ModuleFile without = file_;
    without.drop(*states);
    say(without, stated, fmt::format("suture.stale={} ", id));
    add("another state", "none", without);
  }

  const Bytes& good_;
  ModuleFile file_;
  const Sizes& sizes_;
  const Positions& positions_;
  std::mt19937& random_;
  std::vector<std::size_t> code_, data_;
  std::vector<Mutant> out_;
};

}  // namespace

std::vector<Mutant> mutants_of(const Bytes& good, const Sizes& sizes, const Positions& positions,
                               std::mt19937& random) {
  return Maker(good, sizes, positions, random).run();
}

}  // namespace suture::test
