// SPDX-License-Identifier: GPL-2.0-or-later
#include "prove/form.h"

#include <algorithm>

namespace suture::prove {

namespace {

constexpr std::int64_t key_flags = 3;

const Field* field_at(const Entry& entry, std::uint64_t offset) {
  auto it = std::ranges::find(entry.fields, offset, &Field::offset);
  return it == entry.fields.end() ? nullptr : &*it;
}

// Where the entry's kind of table has its fields; null where it is about no key.
const elf::KeyTable* key_table(const elf::Arch& arch, const Entry& entry) {
  auto tables = arch.key_tables();
  auto it = std::ranges::find(tables, entry.table->section, &elf::KeyTable::section);
  return it == tables.end() ? nullptr : &*it;
}

class Writer {
 public:
  Writer(const elf::Arch& arch, Form& form) : arch_(arch), form_(form) {}

  void replace_branch(std::uint64_t site, const Field& key, const Field& target) {
    const std::uint64_t stub = form_.bytes.size();
    put(site, arch_.jump(static_cast<std::int32_t>(stub - site)));
    std::erase_if(form_.fields, [&](const Field& field) {
      return field.offset >= site && field.offset < behind(site);
    });
    elf::KeyTest test = arch_.key_test((key.target.offset & 1) == 0);
    form_.bytes.insert(form_.bytes.end(), test.code.begin(), test.code.end());
    const std::uint64_t end = form_.bytes.size();
    Bytes back = arch_.jump(static_cast<std::int32_t>(behind(site) - end));
    form_.bytes.insert(form_.bytes.end(), back.begin(), back.end());
    Target count = key.target;
    count.offset &= ~key_flags;
    add_field(stub + test.key_field, test.key_bias, count, false);
    add_field(stub + test.target_field, test.target_bias, target.target, true);
    if (!form_.rows.empty()) {
      stubs_.push_back({stub, row_at(site)});
    }
  }

  // `near` is the jump's field; a stub that it cannot reach makes it stay, to be accused.
  void replace_near_jump(const Field& near) {
    const std::uint64_t stub = form_.bytes.size();
    const std::uint64_t distance = stub - (near.offset + static_cast<std::uint64_t>(near.bias));
    if (distance > 127) {
      return;
    }
    const Target target = near.target;
    const std::uint64_t site = near.offset;
    std::erase_if(form_.fields, [&](const Field& field) { return field.offset == site; });
    form_.bytes[site] = static_cast<std::uint8_t>(distance);
    const Bytes code = arch_.jump(static_cast<std::int32_t>(arch_.jump(0).size()));
    form_.bytes.insert(form_.bytes.end(), code.begin(), code.end());
    add_field(stub + code.size() - 4, 4, target, true);
    if (!form_.rows.empty()) {
      stubs_.push_back({stub, row_at(site)});
    }
  }

  void finish() {
    form_.rows.insert(form_.rows.end(), stubs_.begin(), stubs_.end());
    form_.size = form_.bytes.size();
  }

 private:
  std::uint64_t behind(std::uint64_t site) const { return site + arch_.jump(0).size(); }
  void put(std::uint64_t at, const Bytes& code) {
    std::ranges::copy(code, form_.bytes.begin() + static_cast<std::ptrdiff_t>(at));
  }
  void add_field(std::uint64_t offset, std::uint8_t bias, const Target& target, bool branch) {
    form_.fields.push_back(Field{.offset = offset,
                                 .kind = *arch_.relocation(arch_.pc_relative32()),
                                 .bias = bias,
                                 .branch = branch,
                                 .target = target});
  }
  ByteView row_at(std::uint64_t offset) const {
    auto next = std::ranges::upper_bound(form_.rows, offset, {}, &Row::offset);
    return std::prev(next)->row;
  }

  const elf::Arch& arch_;
  Form& form_;
  std::vector<Row> stubs_;
};

}  // namespace

Form form_of(const Object& object, std::int32_t index, const std::vector<Field>& fields,
             const Tables& tables, const IsLate& is_late) {
  const Part& part = object.part(index);
  const auto slot = static_cast<std::size_t>(index);
  const ByteView bytes = object.bytes(part);
  Form out{.bytes = Bytes(bytes.begin(), bytes.end()),
           .size = part.size,
           .fields = fields,
           .entries = {},
           .rows = tables.rows[slot]};
  out.bytes.resize(part.size, 0);
  Writer writer(object.arch(), out);
  for (const Entry& entry : tables.entries[slot]) {
    const elf::KeyTable* table = key_table(object.arch(), entry);
    const Field* key = table == nullptr ? nullptr : field_at(entry, table->key_field);
    if (key == nullptr || !is_late(key->target)) {
      out.entries.push_back(&entry);
      continue;
    }
    const Field* site = field_at(entry, 0);
    const Field* target = table->target_field ? field_at(entry, *table->target_field) : nullptr;
    if (site != nullptr && target != nullptr) {
      writer.replace_branch(static_cast<std::uint64_t>(site->target.offset), *key, *target);
    }
  }
  for (const Field& field : fields) {
    if (field.resolved && field.kind.size == 1) {
      writer.replace_near_jump(field);
    }
  }
  writer.finish();
  return out;
}

}  // namespace suture::prove
