// Compiles HLSL by Microsoft's d3dcompiler_47.dll as wgpu-hal does, under Wine or on Windows.
//
//   fxc.exe TARGET < LIST      a line of the list: FILE<tab>ENTRY
//
// For each: ok or ERROR, the file, milliseconds of processor time, bytes of code; then what the compiler says of an error.
// It exits with 0 when it compiled all and with 1 when it refused one.
#include <windows.h>

#include <d3dcommon.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

// D3DCOMPILE_ENABLE_STRICTNESS, with which wgpu-hal compiles.
const UINT STRICTNESS = 1 << 11;

// Other programs may run beside this one: the clock would count them.
static double milliseconds() {
    FILETIME created, ended, in_kernel, in_user;
    GetProcessTimes(GetCurrentProcess(), &created, &ended, &in_kernel, &in_user);
    const ULARGE_INTEGER time = {{in_user.dwLowDateTime, in_user.dwHighDateTime}};
    return time.QuadPart / 1e4;
}

int main(int argc, char** argv) {
    if (argc != 2) return fputs("fxc TARGET < LIST\n", stderr), 2;
    HMODULE library = LoadLibraryA("d3dcompiler_47.dll");
    using Compile = HRESULT(WINAPI*)(LPCVOID, SIZE_T, LPCSTR, const void*, void*, LPCSTR, LPCSTR, UINT,
                                     UINT, ID3DBlob**, ID3DBlob**);
    auto compile = library ? (Compile)GetProcAddress(library, "D3DCompile") : nullptr;
    if (!compile) return fputs("no d3dcompiler_47.dll\n", stderr), 2;
    bool refused = false;
    for (std::string line; std::getline(std::cin, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        const size_t tab = line.find('\t');
        const std::string file = line.substr(0, tab), entry = line.substr(tab + 1);
        std::ifstream in(file, std::ios::binary);
        std::stringstream text;
        text << in.rdbuf();
        if (!in) return fprintf(stderr, "can't read %s\n", file.c_str()), 2;
        ID3DBlob *code = nullptr, *said = nullptr;
        const double start = milliseconds();
        const HRESULT result = compile(text.str().data(), text.str().size(), file.c_str(), nullptr,
                                       nullptr, entry.c_str(), argv[1], STRICTNESS, 0, &code, &said);
        const double time = milliseconds() - start;
        const unsigned long size = code ? code->GetBufferSize() : 0;
        printf("%s\t%s\t%.0f\t%lu\n", FAILED(result) ? "ERROR" : "ok", file.c_str(), time, size);
        if (FAILED(result) && said) printf("    %s\n", (const char*)said->GetBufferPointer());
        fflush(stdout);
        refused |= FAILED(result);
    }
    return refused;
}
