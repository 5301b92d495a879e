# The libraries, each behind one target, so that a program links exactly what DESIGN gives it.
find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET libuv)
pkg_check_modules(LIBGIT2 REQUIRED IMPORTED_TARGET libgit2)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(ARGON2 REQUIRED IMPORTED_TARGET libargon2)

if(LIBGIT2_VERSION VERSION_LESS 1.5.1)
  message(FATAL_ERROR "libgit2 ${LIBGIT2_VERSION} is too old: 1.5.1 with Debian's fixes (1.5.1+ds-1+deb12u2) or newer is needed")
endif()

# mbedTLS 2.28 (Debian 12) ships no .pc files, 3.6 (Debian 13) does; plain names serve both.
# The crypto part is a target of its own: the agent links it and nothing else of mbedTLS.
add_library(kly_mbedcrypto INTERFACE)
add_library(kly_mbedtls INTERFACE)
find_path(MBEDTLS_INCLUDE mbedtls/version.h REQUIRED)
find_library(MBEDCRYPTO_LIB mbedcrypto REQUIRED)
find_library(MBEDX509_LIB mbedx509 REQUIRED)
find_library(MBEDTLS_LIB mbedtls REQUIRED)
target_include_directories(kly_mbedcrypto SYSTEM INTERFACE ${MBEDTLS_INCLUDE})
target_link_libraries(kly_mbedcrypto INTERFACE ${MBEDCRYPTO_LIB})
target_link_libraries(kly_mbedtls INTERFACE ${MBEDTLS_LIB} ${MBEDX509_LIB} kly_mbedcrypto)

# wslay: no .pc file in Debian.
find_path(WSLAY_INCLUDE wslay/wslay.h REQUIRED)
find_library(WSLAY_LIB wslay REQUIRED)
add_library(kly_wslay INTERFACE)
target_include_directories(kly_wslay SYSTEM INTERFACE ${WSLAY_INCLUDE})
target_link_libraries(kly_wslay INTERFACE ${WSLAY_LIB})

# llhttp: Debian 13 has a library; on Debian 12 its C sources come with node-llhttp (version 8,
# whose strict mode is a compile-time switch; from 9 on strict is the only mode).
find_library(LLHTTP_LIB llhttp)
if(LLHTTP_LIB)
  add_library(kly_llhttp INTERFACE)
  target_link_libraries(kly_llhttp INTERFACE ${LLHTTP_LIB})
else()
  set(LLHTTP_DIR /usr/share/llhttp)
  if(NOT EXISTS ${LLHTTP_DIR}/llhttp.c)
    message(FATAL_ERROR "llhttp is missing: install libllhttp-dev (Debian 13) or node-llhttp (Debian 12)")
  endif()
  add_library(kly_llhttp STATIC ${LLHTTP_DIR}/llhttp.c ${LLHTTP_DIR}/api.c ${LLHTTP_DIR}/http.c)
  target_include_directories(kly_llhttp SYSTEM PUBLIC /usr/share/include/llhttp)
  target_compile_definitions(kly_llhttp PUBLIC LLHTTP_STRICT_MODE=1)
  target_compile_options(kly_llhttp PRIVATE -w)
endif()
