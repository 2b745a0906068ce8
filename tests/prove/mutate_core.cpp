// SPDX-License-Identifier: GPL-2.0-or-later
//
// Wrong modules for Suture's own core: what its structures say is changed, one thing at a time.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "prove/mutate.h"

namespace suture::test {

namespace {

using Field = ModuleFile::Field;

// A place in the module's sections.
struct Spot {
  std::size_t section = 0;  // 0: none
  std::uint64_t offset = 0;
  explicit operator bool() const { return section != 0; }
  Spot operator+(std::uint64_t distance) const { return {section, offset + distance}; }
  auto operator<=>(const Spot&) const = default;
};

// Offsets in the structures, and their sizes.
constexpr std::uint64_t symbol_name = 8, symbol_sympos = 16, symbol_address = 24;
constexpr std::uint64_t func_old = 0, func_old_size = 8, func_old_cold = 16, func_new = 32,
                        func_new_size = 40, func_new_cold = 48, func_entry = 64, func_end = 72;
constexpr std::uint64_t record_place = 0, record_symbol = 8, record_addend = 16, record_type = 24,
                        record_end = 32;
constexpr std::uint64_t object_name = 0, object_funcs = 16, object_records = 32,
                        object_callbacks = 48, object_end = 80;
constexpr std::uint64_t patch_objects = 16, patch_states = 32, patch_records = 48, patch_text = 64,
                        patch_build_id = 72;

class CoreMaker {
 public:
  CoreMaker(const Bytes& good, std::mt19937& random) : file_(good), random_(random) {}

  std::vector<Mutant> run() {
    read();
    cross_functions();
    leave_functions_out();
    change_symbols();
    change_sizes();
    change_records();
    change_thunks();
    change_thunk_rows();
    change_patch();
    return std::move(out_);
  }

 private:
  struct Function {
    Spot at, object;
    std::string object_name, name;
    std::uint64_t sympos = 0;
    bool last = false;
  };
  struct Array {
    Spot owner;  // the pointer; the number follows it
    std::vector<Spot> entries;
  };

  void add(const char* kind, std::string what, const ModuleFile& file) {
    out_.push_back(Mutant{kind, std::move(what), file.bytes(), true});
  }

  std::optional<Field> field(Spot at) const {
    for (const Field& it : file_.fields(at.section)) {
      if (it.value.r_offset == at.offset) {
        return it;
      }
    }
    return std::nullopt;
  }
  Spot pointed_at(Spot at) const {
    const auto it = field(at);
    if (!it) {
      return {};
    }
    const Elf64_Sym symbol = file_.symbol(ELF64_R_SYM(it->value.r_info));
    return {symbol.st_shndx, symbol.st_value + static_cast<std::uint64_t>(it->value.r_addend)};
  }
  std::uint64_t word(Spot at) const {
    return *read_le<std::uint64_t>(file_.data(at.section), at.offset);
  }
  static void set_word(ModuleFile& file, Spot at, std::uint64_t value) {
    for (std::uint64_t i = 0; i < 8; ++i) {
      file.byte(at.section, at.offset + i) = static_cast<std::uint8_t>(value >> (8 * i));
    }
  }
  std::string text(Spot at) const {
    return at ? std::string(*read_cstr(file_.data(at.section), at.offset)) : "vmlinux";
  }

  Array array(Spot owner, std::uint64_t size) const {
    Array out{owner, {}};
    for (std::uint64_t i = 0; i < word(owner + 8); ++i) {
      out.entries.push_back(pointed_at(owner) + i * size);
    }
    return out;
  }

  void read() {
    for (std::size_t i = 1; i < file_.symbols(); ++i) {
      if (file_.symbol_name(i) == "suture_patch") {
        patch_ = {file_.symbol(i).st_shndx, file_.symbol(i).st_value};
      }
    }
    records_.push_back(array(patch_ + patch_records, record_end));
    for (Spot object : array(patch_ + patch_objects, object_end).entries) {
      objects_.push_back(object);
      records_.push_back(array(object + object_records, record_end));
      for (Spot at : array(object + object_funcs, func_end).entries) {
        const Spot old = pointed_at(at + func_old);
        functions_.push_back(Function{.at = at,
                                      .object = object,
                                      .object_name = text(pointed_at(object + object_name)),
                                      .name = text(pointed_at(old + symbol_name)),
                                      .sympos = word(old + symbol_sympos)});
      }
      if (!functions_.empty() && functions_.back().object == object) {
        functions_.back().last = true;
      }
    }
  }

  // What two pointers point at, exchanged.
  void swap(ModuleFile& file, Spot one, Spot other) const {
    auto a = field(one);
    auto b = field(other);
    if (a && b) {
      std::swap(a->value.r_info, b->value.r_info);
      std::swap(a->value.r_addend, b->value.r_addend);
      file.set(*a);
      file.set(*b);
    }
  }

  void cross_functions() {
    for (std::size_t i = 0; i + 1 < functions_.size() && i < 4; ++i) {
      const Function& a = functions_[i];
      const Function& b = functions_[i + 1];
      const std::string what = fmt::format("{} and {}", a.name, b.name);
      ModuleFile news = file_;
      swap(news, a.at + func_new, b.at + func_new);
      add("crossed new functions", what, news);
      ModuleFile entries = file_;
      swap(entries, a.at + func_entry, b.at + func_entry);
      add("crossed entries", what, entries);
      // Each function is whole, and replaces the other's.
      ModuleFile whole = file_;
      swap(whole, a.at + func_new, b.at + func_new);
      swap(whole, a.at + func_entry, b.at + func_entry);
      set_word(whole, a.at + func_new_size, word(b.at + func_new_size));
      set_word(whole, b.at + func_new_size, word(a.at + func_new_size));
      add("crossed redirects", what, whole);
    }
  }

  static void say(ModuleFile& file, const std::string& from, const std::string& to) {
    file.replace(file.find(".modinfo"), from, to);
    file.replace(file.find(".note.suture"), from, to);
  }

  void leave_functions_out() {
    for (const Function& it : functions_) {
      const Spot number = it.object + object_funcs + 8;
      if (it.last && word(number) > 1) {
        ModuleFile file = file_;
        set_word(file, number, word(number) - 1);
        const std::string stated = fmt::format("{} {} {} ", it.object_name, it.name, it.sympos);
        say(file, "suture.func=" + stated, "suture.left=" + stated);
        add("function left out", it.name, file);
      }
    }
  }

  void change_symbols() {
    const std::size_t section = file_.find(".rodata.suture_symbols");
    for (std::uint64_t at = 0; at < file_.section(section).sh_size; at += 32) {
      const Spot symbol{section, at};
      const std::string name = text(pointed_at(symbol + symbol_name));
      if (const std::uint64_t address = word(symbol + symbol_address)) {
        ModuleFile file = file_;
        set_word(file, symbol + symbol_address, address + 16);
        add("wrong symbol address", name, file);
      }
      ModuleFile file = file_;
      const std::uint64_t sympos = word(symbol + symbol_sympos);
      set_word(file, symbol + symbol_sympos, sympos == 0 ? 2 : sympos + 1);
      add("wrong sympos", name, file);
    }
  }

  void change_sizes() {
    for (const Function& it : functions_) {
      for (std::uint64_t member :
           {func_old_size, func_new_size, func_old_cold + 8, func_new_cold + 8}) {
        ModuleFile file = file_;
        const Spot at = it.at + member;
        set_word(file, at, word(at) == 0 ? 16 : word(at) - 1);
        add("wrong size", fmt::format("{}: member at {}", it.name, member), file);
      }
      for (std::uint64_t member : {func_old_cold, func_new_cold}) {
        if (auto cold = field(it.at + member)) {
          ModuleFile file = file_;
          file.drop(*cold);
          set_word(file, it.at + member + 8, 0);
          add("dropped .cold", fmt::format("{}: member at {}", it.name, member), file);
        }
      }
    }
  }

  void change_records() {
    for (const Array& array : records_) {
      for (std::size_t i = 0; i < array.entries.size() && i < 12; ++i) {
        change_record(array.entries[i]);
        const Spot next = array.entries[(i + 1) % array.entries.size()];
        if (pointed_at(array.entries[i] + record_symbol) != pointed_at(next + record_symbol)) {
          ModuleFile file = file_;
          swap(file, array.entries[i] + record_symbol, next + record_symbol);
          add("record of another symbol", describe(array.entries[i]), file);
        }
      }
      // The number is changed; of one record nothing is left to be pointed at.
      if (array.entries.size() > 1) {
        ModuleFile file = file_;
        set_word(file, array.owner + 8, array.entries.size() - 1);
        add("dropped record", describe(array.entries.back()), file);
      } else if (array.entries.size() == 1) {
        ModuleFile file = file_;
        set_word(file, array.owner + 8, 0);
        file.drop(*field(array.owner));
        add("dropped record", describe(array.entries.back()), file);
      }
    }
  }

  std::string describe(Spot record) const {
    const Spot place = pointed_at(record + record_place);
    return fmt::format("{}+{:#x}", file_.name(place.section), place.offset);
  }

  void change_record(Spot record) {
    const std::string what = describe(record);
    ModuleFile addend = file_;
    set_word(addend, record + record_addend,
             word(record + record_addend) + (random_() % 2 == 0 ? 8 : 1));
    add("wrong addend", what, addend);
    ModuleFile type = file_;
    std::uint8_t& number = type.byte(record.section, record.offset + record_type);
    number = number == R_X86_64_32S ? R_X86_64_PC32 : R_X86_64_32S;
    add("wrong relocation type", what, type);
    Field place = *field(record + record_place);
    ModuleFile moved = file_;
    place.value.r_addend += 4;
    moved.set(place);
    add("moved record", what, moved);
    for (const char* table : {".orc_unwind_ip", "__mcount_loc", ".return_sites"}) {
      if (const std::size_t section = file_.find(table)) {
        ModuleFile file = file_;
        place.value.r_info = ELF64_R_INFO(section_symbol(section), R_X86_64_64);
        place.value.r_addend = 0;
        file.set(place);
        add("record in a table", fmt::format("{} instead of {}", table, what), file);
      }
    }
  }

  std::size_t section_symbol(std::size_t section) const {
    for (std::size_t i = 1; i < file_.symbols(); ++i) {
      const Elf64_Sym symbol = file_.symbol(i);
      if (ELF64_ST_TYPE(symbol.st_info) == STT_SECTION && symbol.st_shndx == section) {
        return i;
      }
    }
    return 0;
  }

  void change_thunks() {
    for (const Function& it : functions_) {
      const Spot entry = pointed_at(it.at + func_entry);
      Field target = *field(entry + 5);
      ModuleFile elsewhere = file_;
      target.value.r_addend += 16;
      elsewhere.set(target);
      add("thunk to another function", it.name + "+16", elsewhere);
      ModuleFile keeps = file_;
      keeps.byte(entry.section, entry.offset + 3) = 0;
      add("thunk that keeps the return address", it.name, keeps);
      ModuleFile more = file_;
      more.byte(entry.section, entry.offset + 3) = 16;
      add("thunk that keeps the return address", it.name + " drops two", more);
      ModuleFile calls = file_;
      calls.byte(entry.section, entry.offset + 4) = 0xe8;
      add("thunk that keeps the return address", it.name + " is called", calls);
    }
    for (std::size_t i = 0; i + 1 < functions_.size() && i < 4; ++i) {
      ModuleFile file = file_;
      swap(file, pointed_at(functions_[i].at + func_entry) + 5,
           pointed_at(functions_[i + 1].at + func_entry) + 5);
      add("thunk to another function", functions_[i].name, file);
    }
  }

  void change_thunk_rows() {
    const std::size_t rows = file_.find(".orc_unwind");
    const std::size_t places = file_.find(".orc_unwind_ip");
    const std::uint64_t count = places == 0 ? 0 : file_.section(places).sh_size / 4;
    for (std::uint64_t i = 0; i < count; ++i) {
      const Spot about = pointed_at(Spot{places, i * 4});
      if (file_.name(about.section) != ".text.suture_entry") {
        continue;
      }
      const std::string what = fmt::format("of {:#x}", about.offset);
      const std::uint64_t step = file_.section(rows).sh_size / count;
      ModuleFile cut = file_;
      cut.cut(rows, i * step, step);
      cut.cut(places, i * 4, 4);
      add("dropped ORC of a thunk", what, cut);
      ModuleFile changed = file_;
      changed.byte(rows, i * step) ^= 8;
      add("changed ORC of a thunk", what, changed);
    }
  }

  void change_patch() {
    ModuleFile text = file_;
    set_word(text, patch_ + patch_text, word(patch_ + patch_text) + 0x1000);
    add("wrong image", "another _text", text);
    ModuleFile abi = file_;
    abi.byte(patch_.section, patch_.offset) = 1;
    add("wrong image", "another ABI", abi);
    ModuleFile build_id = file_;
    build_id.drop(*field(patch_ + patch_build_id));
    add("wrong image", "no build-id", build_id);
    for (Spot object : objects_) {
      for (std::uint64_t i = 0; i < 4; ++i) {
        if (auto callback = field(object + object_callbacks + i * 8)) {
          ModuleFile file = file_;
          file.drop(*callback);
          add("dropped callback", fmt::format("number {}", i), file);
        }
      }
    }
    if (const Spot state = pointed_at(patch_ + patch_states)) {
      ModuleFile file = file_;
      ++file.byte(state.section, state.offset + 8);
      add("another state", "its version", file);
    }
  }

  ModuleFile file_;
  std::mt19937& random_;
  Spot patch_;
  std::vector<Spot> objects_;
  std::vector<Array> records_;
  std::vector<Function> functions_;
  std::vector<Mutant> out_;
};

}  // namespace

std::vector<Mutant> core_mutants_of(const Bytes& good, std::mt19937& random) {
  return CoreMaker(good, random).run();
}

}  // namespace suture::test
