// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: keep files that will run with the kernel's rights at a boot that nobody watches, so that
// neither a crash in the middle of a change nor another user decides what they are.
// Method: a file is written under another name, synced, renamed, and its directory synced; what is
// in force is only what the manifest lists, and the manifest is written last when a patch comes and
// first when one goes. Trust is checked on open descriptors, from the top directory down
// (openat(2) with O_NOFOLLOW, then fstat(2)).
// Invariants: the manifest on the disk always lists whole files; where every directory on the way
// is root's alone, nobody else can exchange what was checked before it is loaded.
#include "boot/store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <tuple>

#include "base/digest.h"
#include "base/json.h"
#include "boot/guard.h"
#include "elf/object.h"
#include "module/metadata.h"

namespace suture::boot {

namespace {

constexpr std::string_view manifest_name = "manifest.json";
constexpr unsigned directory_mode = 0755;

std::unexpected<Error> untrusted(const fs::path& path, std::string reason, std::string remedy) {
  return fail(Code::untrusted_file, path.string(), std::move(reason), std::move(remedy));
}

// Whether only the store's owner may change what the descriptor is of.
Status check_owner(const Store& store, const Descriptor& fd, const fs::path& path) {
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) {
    return fail_errno(errno, path.string(), "stat");
  }
  if (st.st_uid != store.owner) {
    return untrusted(path, fmt::format("it belongs to user {}, not to root", st.st_uid),
                     fmt::format("see who made it, then run: chown root:root {}", path.string()));
  }
  if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return untrusted(
        path,
        fmt::format("users other than root may write to it (mode {:04o})", st.st_mode & 07777),
        fmt::format("see what was changed, then run: chmod go-w {}", path.string()));
  }
  return {};
}

std::unexpected<Error> open_failed(const fs::path& path, int err) {
  if (err == ELOOP || err == ENOTDIR) {
    return untrusted(path, "it is a symbolic link, or leads through one",
                     "put the files themselves there, or mount their file system there");
  }
  return fail_errno(err, path.string(), "open");
}

Result<Descriptor> open_part(const Store& store, const Descriptor& directory, const fs::path& part,
                             const fs::path& whole, int flags) {
  Descriptor fd(::openat(directory.get(), part.c_str(), flags | O_NOFOLLOW | O_CLOEXEC));
  if (fd.get() < 0) {
    return open_failed(whole, errno);
  }
  TRY(check_owner(store, fd, whole));
  return fd;
}

// Walks down to `path`, which lies below the store's top.
Result<Descriptor> open_directory(const Store& store, const fs::path& path) {
  Descriptor at(::open(store.top.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (at.get() < 0) {
    return open_failed(store.top, errno);
  }
  TRY(check_owner(store, at, store.top));
  fs::path whole = store.top;
  for (const fs::path& part : path.lexically_relative(store.top)) {
    whole /= part;
    at = TRY(open_part(store, at, part, whole, O_PATH | O_DIRECTORY));
  }
  return at;
}

// What to do where the store may not be written to.
template <class T>
Result<T> or_remedy(const Store& store, Result<T> result) {
  if (!result && result.error().code == Code::not_permitted) {
    result.error().remedy =
        fmt::format("run as root, and make {} writable", store.directory.string());
  }
  return result;
}

// Makes what is missing of the release's directory, and checks all of it.
Status make_place(const Store& store, const fs::path& directory) {
  if (::mkdir(directory.c_str(), directory_mode) == 0) {
    ::chmod(directory.c_str(), directory_mode);  // whatever the umask is
  } else if (errno != EEXIST) {
    return or_remedy(store, Status(fail_errno(errno, directory.string(), "create directory")));
  }
  TRY(open_directory(store, directory));
  return {};
}

// What is left of a release when its last patch has gone.
Status remove_place(const Store& store, const std::string& release) {
  TRY(remove_guard(store, release));
  TRY(remove_file_durably(store.of(release) / manifest_name));
  ::rmdir(store.of(release).c_str());  // unless somebody has put something there
  return {};
}

std::unexpected<Error> bad_manifest(const fs::path& path, std::string_view reason) {
  return fail(Code::bad_config, path.string(),
              fmt::format("the list of what is applied at boot cannot be read: {}", reason),
              "remove the file, then install the patches again, in their order");
}

Result<std::vector<InstalledPatch>> parse_manifest(std::string_view text, const fs::path& path) {
  const Json json = Json::parse(text).value_or(Json{});
  JsonReader manifest(json);
  const bool known = manifest.integer("schema") == 1;
  const std::vector<Json>& entries = manifest.items("patches");
  if (!known || !manifest.whole()) {
    return bad_manifest(path, "it is damaged, or of another version of Suture");
  }
  std::vector<InstalledPatch> out;
  for (const Json& it : entries) {
    JsonReader entry(it);
    InstalledPatch patch{.name = entry.text("name"),
                         .version = entry.text("version"),
                         .sha256 = entry.text("sha256"),
                         .before = entry.text("before")};
    patch.replace = entry.truth("replace");
    if (const std::string core = entry.text("core"); !core.empty()) {
      patch.core = core;
    }
    if (!is_file_name(patch.name)) {
      return bad_manifest(path, "an entry has no valid name");
    }
    out.push_back(std::move(patch));
  }
  return out;
}

Status write_manifest(const Store& store, const std::string& release,
                      const std::vector<InstalledPatch>& patches) {
  Json json{{"schema", 1}, {"release", release}, {"patches", Json::array()}};
  for (const InstalledPatch& patch : patches) {
    json["patches"].push_back({{"name", patch.name},
                               {"version", patch.version},
                               {"sha256", patch.sha256},
                               {"before", patch.before},
                               {"replace", patch.replace},
                               {"core", patch.core}});
  }
  const std::string text = json.text() + "\n";
  return write_file_durably(store.of(release) / manifest_name, as_bytes(text));
}

// What a module says that it is, so far as installing it needs to know.
Result<module::Metadata> read_patch(const Bytes& bytes, const fs::path& path) {
  auto object = elf::ObjectFile::parse(bytes, path.string());
  if (!object) {
    return fail(Code::bad_module, path.string(), object.error().reason,
                "give the .ko file that `suture build` wrote");
  }
  module::Metadata metadata = TRY(module::read_metadata(*object, path.string()));
  if (!metadata.is_patch()) {
    return fail(Code::bad_module, path.string(), "it is not a patch module",
                "give a module that `suture build` made; other modules are modules-load.d's");
  }
  if (!is_file_name(metadata.name) || !is_file_name(metadata.release)) {
    return fail(Code::bad_module, path.string(),
                "its name, or that of the release that it is for, can be no file name",
                "build it again");
  }
  return metadata;
}

// Writes file and list, in the order that leaves a list of whole files wherever it stops: a list
// that already names the new file accepts the old one, too.
Status put_in_place(const Store& store, const InstallOutcome& outcome, const Bytes& bytes,
                    const std::vector<InstalledPatch>& patches,
                    const std::vector<InstalledPatch>& earlier) {
  const fs::path file = store.of(outcome.release) / outcome.patch.file();
  const bool exchanged = !outcome.patch.before.empty();
  if (exchanged) {
    TRY(write_manifest(store, outcome.release, patches));
  }
  Status written = write_file_durably(file, bytes);
  if (written && !exchanged) {
    written = write_manifest(store, outcome.release, patches);
  }
  if (!written && exchanged) {
    std::ignore = write_manifest(store, outcome.release, earlier);
  } else if (!written) {
    std::ignore = remove_file_durably(file);
  }
  return written;
}

// What is lost with the patches that the new one supersedes.
Status take_over(const Store& store, const module::Metadata& newer, const InstallOptions& options,
                 InstallOutcome& out) {
  for (const std::string& name : out.superseded) {
    const auto old = module::read_metadata(store.of(out.release) / (name + ".ko"));
    check::Loss loss = old ? check::lost_to(newer, *old) : check::Loss{};
    if (loss.fix_lost && !options.replace) {
      return fail(Code::fix_lost, out.patch.name,
                  fmt::format("{}: that fix is not in this patch, which would replace it",
                              check::describe(loss)),
                  fmt::format("build the diffs of '{}' into it, or give that fix up "
                              "(suture install --replace)",
                              name));
    }
    if (loss.any()) {
      out.losses.push_back(std::move(loss));
    }
  }
  return {};
}

}  // namespace

Result<FileLock> lock_store(const Store& store) {
  constexpr double seconds = 60;
  return or_remedy(store, FileLock::acquire(store.directory / "lock", seconds));
}

Result<FileLock> try_lock_store(const Store& store) {
  auto lock = FileLock::try_acquire(store.directory / "lock");
  if (!lock && lock.error().code == Code::busy) {
    return fail(Code::busy, store.directory.string(),
                "patches are being applied, installed or uninstalled right now",
                "run the command again when that is over");
  }
  return or_remedy(store, std::move(lock));
}

bool is_file_name(std::string_view name) {
  return !name.empty() && name.size() < 128 && name.front() != '.' &&
         std::ranges::all_of(name, [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '+' || c == '~';
         });
}

Result<Descriptor> open_trusted(const Store& store, const fs::path& path, Access access) {
  const Descriptor directory = TRY(open_directory(store, path.parent_path()));
  // Without O_NONBLOCK a named pipe in the file's place would hold up the boot.
  Descriptor fd = TRY(open_part(store, directory, path.filename(), path,
                                (access == Access::write ? O_RDWR : O_RDONLY) | O_NONBLOCK));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
    return untrusted(path, "it is no regular file", "remove it, and install the patch again");
  }
  return fd;
}

Result<fs::path> trusted_path(const Store& store, const fs::path& path) {
  std::error_code ec;
  fs::path real = fs::canonical(path, ec);
  if (ec) {
    return fail_errno(ec.value(), path.string(), "look up");
  }
  TRY(open_trusted(store, real, Access::read));
  return real;
}

Result<std::vector<InstalledPatch>> installed_patches(const Store& store,
                                                      const std::string& release) {
  const fs::path path = store.of(release) / manifest_name;
  std::error_code ec;
  if (fs::symlink_status(path, ec).type() == fs::file_type::not_found) {
    return std::vector<InstalledPatch>{};
  }
  const Descriptor fd = TRY(open_trusted(store, path, Access::read));
  const Bytes bytes = TRY(read_bytes(fd, path));
  return parse_manifest(as_text(bytes), path);
}

std::vector<InstalledPatch> of_core(const std::vector<InstalledPatch>& patches,
                                    std::string_view core) {
  std::vector<InstalledPatch> out;
  std::ranges::copy_if(patches, std::back_inserter(out),
                       [&](const InstalledPatch& it) { return it.core == core; });
  return out;
}

std::vector<std::string> installed_releases(const Store& store) {
  std::vector<std::string> out;
  std::error_code ec;
  for (fs::directory_iterator at(store.directory, ec), end; !ec && at != end; at.increment(ec)) {
    const std::string release = at->path().filename().string();
    auto patches = installed_patches(store, release);
    if (!patches || !patches->empty()) {
      out.push_back(release);
    }
  }
  std::ranges::sort(out);
  return out;
}

Status check_installed(const Store& store, const std::string& release,
                       const InstalledPatch& patch) {
  const fs::path path = store.of(release) / patch.file();
  const Descriptor fd = TRY(open_trusted(store, path, Access::read));
  const Bytes bytes = TRY(read_bytes(fd, path));
  const std::string sha256 = sha256_hex(bytes);
  if (sha256 != patch.sha256 && sha256 != patch.before) {
    return untrusted(path, "it is not the file that was installed", "install the patch again");
  }
  return {};
}

Result<InstallOutcome> install(const Store& store, const fs::path& module,
                               const InstallOptions& options) {
  const Bytes bytes = TRY(read_bytes(module));
  const module::Metadata metadata = TRY(read_patch(bytes, module));
  InstallOutcome out{.release = metadata.release,
                     .patch = {.name = metadata.name,
                               .version = metadata.version,
                               .sha256 = sha256_hex(bytes),
                               .replace = metadata.replace,
                               .core = std::string(module::core_name(metadata.core))}};
  TRY(make_place(store, store.directory));
  const FileLock lock = TRY(lock_store(store));
  TRY(make_place(store, store.of(out.release)));
  std::vector<InstalledPatch> patches = TRY(installed_patches(store, out.release));
  TRY(prepare_guard(store, out.release));
  auto same = std::ranges::find(patches, out.patch.name, &InstalledPatch::name);
  out.was_there = same != patches.end() && same->sha256 == out.patch.sha256 &&
                  check_installed(store, out.release, *same);
  if (out.was_there) {
    return out;
  }
  const std::vector<InstalledPatch> earlier = patches;
  if (same != patches.end()) {
    out.patch.before = same->sha256;
    patches.erase(same);
  }
  if (out.patch.replace) {
    std::ranges::transform(of_core(patches, out.patch.core), std::back_inserter(out.superseded),
                           &InstalledPatch::name);
    TRY(take_over(store, metadata, options, out));
  }
  patches.push_back(out.patch);
  TRY(put_in_place(store, out, bytes, patches, earlier));
  return out;
}

namespace {

// The name may be installed for a kernel that is not the one meant.
std::string remedy_for_another_release(const Store& store, const std::string& name) {
  for (const std::string& release : installed_releases(store)) {
    const auto patches = installed_patches(store, release);
    if (patches && std::ranges::find(*patches, name, &InstalledPatch::name) != patches->end()) {
      return fmt::format("it is for {0}: suture uninstall -k {0} {1}", release, name);
    }
  }
  return "see what is: suture list --installed";
}

}  // namespace

Status uninstall(const Store& store, const std::string& release, const std::string& name) {
  if (!is_file_name(release)) {
    return fail(Code::usage, release, "this can be no release's name",
                "see what is installed: suture list --installed");
  }
  std::vector<InstalledPatch> patches = TRY(installed_patches(store, release));
  if (std::ranges::find(patches, name, &InstalledPatch::name) == patches.end()) {
    return fail(Code::not_installed, name,
                fmt::format("no patch of that name is installed for {}", release),
                remedy_for_another_release(store, name));
  }
  const FileLock lock = TRY(lock_store(store));
  patches = TRY(installed_patches(store, release));
  std::erase_if(patches, [&](const InstalledPatch& it) { return it.name == name; });
  TRY(write_manifest(store, release, patches));
  TRY(remove_file_durably(store.of(release) / (name + ".ko")));
  return patches.empty() ? remove_place(store, release) : Status{};
}

std::vector<std::string> applied_at_boot(const std::vector<InstalledPatch>& patches) {
  std::vector<std::string> out;
  for (const InstalledPatch& patch : patches) {
    if (patch.replace) {
      for (const InstalledPatch& earlier : of_core(patches, patch.core)) {
        if (earlier.name == patch.name) {
          break;
        }
        std::erase(out, earlier.name);
      }
    }
    out.push_back(patch.name);
  }
  return out;
}

}  // namespace suture::boot
