// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: make a cached kernel of three Debian packages, fast, and never leave half of one behind.
//
// Method: under the cache's lock, packages are fetched (apt verifies them), the source is unpacked
// by one thread while another unpacks image and modules and decompresses vmlinux, then the source
// is prepared. All of it happens in a temporary directory beside the entry; one rename puts it in
// place.
//
// Invariants: kernels/REL exists whole or not at all; source, headers and image are of exactly one
// package version; a temporary directory that is found under the lock belongs to nobody.
#include "kernel/packages.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <future>
#include <mutex>

#include "kernel/apt.h"
#include "kernel/cache.h"
#include "kernel/featureset.h"
#include "kernel/make_units.h"
#include "kernel/prepare.h"
#include "kernel/toolchain.h"
#include "kernel/unpack.h"
#include "kernel/vmlinuz.h"

namespace suture::kernel {

namespace {

constexpr std::string_view image_prefix = "linux-image-";

const Package* find_version(const std::vector<Package>& packages, const std::string& name,
                            const std::string& version) {
  auto found = std::ranges::find_if(packages, [&](const Package& package) {
    return package.name == name && (version.empty() || package.version == version);
  });
  return found == packages.end() ? nullptr : &*found;
}

std::string image_name(const std::string& release) {
  return fmt::format("{}{}", image_prefix, release);
}

std::string source_name(const std::string& release) { return "linux-source-" + series_of(release); }

// A few releases that the archive has image and source of, of the same flavour and nearest first.
Result<std::string> near_releases(const std::string& release, const Archive& archive) {
  std::vector<std::string> releases;
  std::vector<std::string> names;
  for (const std::string& name : TRY(archive.package_names(std::string(image_prefix)))) {
    std::string candidate = name.substr(image_prefix.size());
    std::string flavour = flavour_of(candidate);
    if (is_release_name(candidate) && !flavour.empty() && !candidate.ends_with("-unsigned") &&
        !candidate.ends_with("-dbg") &&
        (flavour_of(release).empty() || flavour == flavour_of(release))) {
      names.insert(names.end(), {name, source_name(candidate)});
      releases.push_back(std::move(candidate));
    }
  }
  if (releases.empty()) {
    return std::string{};
  }
  std::ranges::sort(releases, [&](const std::string& a, const std::string& b) {
    bool same_a = series_of(a) == series_of(release);
    bool same_b = series_of(b) == series_of(release);
    return same_a != same_b ? same_a : ::strverscmp(a.c_str(), b.c_str()) > 0;
  });
  std::vector<Package> packages = TRY(archive.find_packages(names));
  std::string out;
  int count = 0;
  for (const std::string& candidate : releases) {
    const Package* image = find_version(packages, image_name(candidate), {});
    if (image != nullptr &&
        find_version(packages, source_name(candidate), image->version) != nullptr && count++ < 5) {
      out += (out.empty() ? "" : ", ") + candidate;
    }
  }
  return out;
}

std::unexpected<Error> unknown(const std::string& release, const Archive& archive,
                               std::string reason) {
  auto near = near_releases(release, archive);
  return fail(Code::unknown_release, release, std::move(reason),
              near && !near->empty()
                  ? fmt::format("add one of: {}; or name the suite of Debian that has it "
                                "(--suite)",
                                *near)
                  : archive.remedy());
}

// The packages that image, modules and configuration come in. Since 7.0 linux-image is an empty
// package that depends on what has the files; before, it has them itself. Debian's own kernels are
// signed; those that it does not sign have names of their own.
std::vector<std::vector<std::string>> ways_to_package(const std::string& release) {
  return {{"linux-binary-" + release, "linux-modules-" + release, "linux-base-" + release},
          {"linux-binary-unsigned-" + release, "linux-modules-" + release, "linux-base-" + release},
          {image_name(release)},
          {image_name(release) + "-unsigned"}};
}

struct Parts {
  std::vector<Package> image;  // in one or several packages
  Package headers, source;

  std::vector<Package> all() const {
    std::vector<Package> out = image;
    out.insert(out.end(), {headers, source});
    return out;
  }
};

// The packages of a kernel, all of one version.
Result<Parts> locate(const std::string& release, const Archive& archive) {
  if (!is_release_name(release)) {
    return unknown(release, archive, "this is no release of a kernel");
  }
  const std::string headers = "linux-headers-" + release;
  const std::string source = source_name(release);
  std::vector<std::string> names{headers, source};
  for (const std::vector<std::string>& way : ways_to_package(release)) {
    names.insert(names.end(), way.begin(), way.end());
  }
  const std::vector<Package> known = TRY(archive.find_packages(names));
  for (const std::vector<std::string>& way : ways_to_package(release)) {
    const Package* first = find_version(known, way.front(), {});
    if (first == nullptr) {
      continue;
    }
    Parts parts;
    std::vector<std::string> wanted = way;
    wanted.insert(wanted.end(), {headers, source});
    for (const std::string& name : wanted) {
      const Package* part = find_version(known, name, first->version);
      if (part == nullptr) {
        return unknown(
            release, archive,
            fmt::format("the package archive has no {} of version {}", name, first->version));
      }
      (name == headers  ? parts.headers
       : name == source ? parts.source
                        : parts.image.emplace_back()) = *part;
    }
    return parts;
  }
  return unknown(release, archive, "the package archive has no such kernel");
}

struct Fetched {
  std::vector<fs::path> image;
  fs::path headers, source;
  fs::path packaging;  // of a release with a featureset; else empty
};

Result<Fetched> fetch(const Parts& parts, const std::string& release, const Archive& archive,
                      const Progress& progress) {
  const std::vector<Package> packages = parts.all();
  Fetched fetched;
  fetched.image = TRY(archive.fetch_packages(packages, downloads_directory(), progress));
  fetched.source = fetched.image.back();
  fetched.image.pop_back();
  fetched.headers = fetched.image.back();
  fetched.image.pop_back();
  if (!featureset_of(release).empty()) {
    const Package& source = parts.source;
    progress(fmt::format("fetching the packaging of {} {}", source.source, source.version));
    fetched.packaging = TRY(archive.fetch_packaging(source, downloads_directory()));
  }
  return fetched;
}

// Where the image packages' files go in an entry: vmlinuz and its company lie in /boot, or beside
// the modules.
std::optional<std::string> place_image(std::string_view name, const std::string& release) {
  for (const char* file : {"vmlinuz", "config", "System.map"}) {
    if (name == fmt::format("boot/{}-{}", file, release) ||
        name == fmt::format("usr/lib/modules/{}/{}", release, file)) {
      return file;
    }
  }
  if (name.starts_with("usr/")) {
    name.remove_prefix(4);
  }
  std::string modules = fmt::format("lib/modules/{}/", release);
  if (name.starts_with(modules)) {
    return fmt::format("modules/{}", name.substr(modules.size()));
  }
  return std::nullopt;
}

Status unpack_image(const Fetched& fetched, const fs::path& root, const std::string& release) {
  for (const fs::path& package : fetched.image) {
    TRY(unpack_deb(package, root,
                   [&](std::string_view name) { return place_image(name, release); }));
  }
  std::string symvers = fmt::format("usr/src/linux-headers-{}/Module.symvers", release);
  TRY(unpack_deb(fetched.headers, root, [&](std::string_view name) {
    return name == symvers ? std::optional<std::string>("Module.symvers") : std::nullopt;
  }));
  for (const char* part : {"vmlinuz", "config", "modules", "Module.symvers"}) {
    if (!fs::exists(root / part)) {
      return fail(Code::bad_package, fetched.image.front().filename().string(),
                  fmt::format("the packages hold no {} of {}", part, release),
                  "this kernel is packaged otherwise; give its files with --vmlinuz and the like");
    }
  }
  MappedFile vmlinuz = TRY(MappedFile::open(root / "vmlinuz"));
  Bytes vmlinux = TRY(extract_vmlinux(vmlinuz.bytes(), "vmlinuz-" + release));
  return write_file(root / "vmlinux", ByteView(vmlinux));
}

// Source on one thread, image and modules on this one.
Status unpack(const Fetched& fetched, const fs::path& root, const std::string& release) {
  TRY(make_directories(root / "source"));
  auto source = std::async(std::launch::async, [&] {
    return unpack_tar_in_deb(fetched.source, fmt::format("usr/src/{}.tar.xz", source_name(release)),
                             root / "source");
  });
  Status image = unpack_image(fetched, root, release);
  Status unpacked = source.get();
  return image ? unpacked : image;
}

Status build_entry(const fs::path& root, const std::string& release, const Archive& archive,
                   const Progress& progress) {
  const Parts parts = TRY(locate(release, archive));
  Fetched fetched = TRY(fetch(parts, release, archive, progress));
  progress("unpacking image, modules and source");
  TRY(unpack(fetched, root, release));
  Image image = TRY(Image::open(root / "vmlinux"));
  if (image.release() != release) {
    return fail(Code::bad_package, image_name(release),
                fmt::format("the image in it is of {}", image.release()), "use another release");
  }
  TRY(check_identity(image, root / "config"));
  if (!fetched.packaging.empty()) {
    progress(fmt::format("applying the patches of featureset {}", featureset_of(release)));
    TRY(apply_featureset(fetched.packaging, featureset_of(release), root / "source"));
  }
  const std::string config = TRY(read_text(root / "config"));
  const std::string toolchain = TRY(choose_toolchain(config, release, archive, progress));
  TRY(prepare_tree(root / "source", root / "config", root / "Module.symvers", release,
                   toolchain_root(toolchain), progress));
  return write_entry(root, image,
                     {.packages = parts.all(), .suite = archive.suite(), .toolchain = toolchain});
}

}  // namespace

// "Depends: linux-image-6.1.0-56-amd64 (= 6.1.192-2)"
Result<std::string> newest_release(const Archive& archive) {
  Finished arch = TRY(run_checked({{"dpkg", "--print-architecture"}, {}, {}}, Code::package_failed,
                                  "dpkg", "run this on a Debian system"));
  std::string name = image_name(arch.out.substr(0, arch.out.find('\n')));
  const std::optional<Package> known = TRY(archive.preferred(name));
  std::string depends = known ? known->depends : std::string{};
  std::size_t at = depends.find(image_prefix);
  if (at == std::string::npos) {
    return fail(Code::unknown_release, name,
                "the package archive does not say which kernel is newest", archive.remedy());
  }
  at += image_prefix.size();
  std::string release = depends.substr(at, depends.find_first_of(" ,(", at) - at);
  if (!is_release_name(release)) {
    return fail(Code::unknown_release, name, fmt::format("'{}' is no release", release),
                "name a release");
  }
  return release;
}

Result<bool> has_kernel(const std::string& release, const Archive& archive) {
  auto located = locate(release, archive);
  if (!located && located.error().code != Code::unknown_release) {
    return std::unexpected(std::move(located.error()));
  }
  return located.has_value();
}

Result<Added> add(const std::string& release, const Archive& archive, const Progress& progress) {
  auto known = read_entry(release);
  bool made = false;
  if (!known && known.error().code == Code::not_cached) {
    made = TRY(make_entry(release, progress, [&](const fs::path& root) {
      remove_leftovers(downloads_directory());
      return build_entry(root, release, archive, progress);
    }));
    known = read_entry(release);
  }
  Kernel kernel = TRY(std::move(known));
  TRY(find_compiler(kernel));
  TRY(ensure_units(kernel, progress));
  return Added{.kernel = std::move(kernel), .made = made};
}

}  // namespace suture::kernel
