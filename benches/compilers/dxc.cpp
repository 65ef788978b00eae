// Compiles HLSL by libdxcompiler as wgpu-hal does.
//
//   dxc LIBRARY TARGET < LIST      a line of the list: FILE<tab>ENTRY
//
// For each: ok or ERROR, the file, milliseconds, bytes of code; then what the compiler says of an error.
// It exits with 0 when it compiled all and with 1 when it refused one.
#include <dxcapi.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

static std::wstring wide(const std::string& text) { return {text.begin(), text.end()}; }

int main(int argc, char** argv) {
    if (argc != 3) return fputs("dxc LIBRARY TARGET < LIST\n", stderr), 2;
    void* library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    if (!library) return fprintf(stderr, "%s\n", dlerror()), 2;
    auto create = (DxcCreateInstanceProc)dlsym(library, "DxcCreateInstance");
    IDxcCompiler3* compiler = nullptr;
    if (!create || create(CLSID_DxcCompiler, __uuidof(IDxcCompiler3), (void**)&compiler))
        return fputs("no compiler in that library\n", stderr), 2;
    const std::wstring target = wide(argv[2]);
    bool refused = false;
    for (std::string line; std::getline(std::cin, line);) {
        const size_t tab = line.find('\t');
        const std::string file = line.substr(0, tab);
        const std::wstring entry = wide(line.substr(tab + 1));
        std::ifstream in(file, std::ios::binary);
        std::stringstream stream;
        stream << in.rdbuf();
        if (!in) return fprintf(stderr, "can't read %s\n", file.c_str()), 2;
        const std::string text = stream.str();
        const DxcBuffer buffer{text.data(), text.size(), DXC_CP_UTF8};
        LPCWSTR arguments[] = {L"-E",   entry.c_str(),    L"-T",   target.c_str(),        L"-HV",
                               L"2018", L"-no-warnings", L"-Ges", L"-enable-16bit-types"};
        const auto start = std::chrono::steady_clock::now();
        IDxcResult* result = nullptr;
        HRESULT status = compiler->Compile(&buffer, arguments, std::size(arguments), nullptr,
                                           __uuidof(IDxcResult), (void**)&result);
        const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
        IDxcBlob* code = nullptr;
        IDxcBlobUtf8* said = nullptr;
        if (result) {
            result->GetStatus(&status);
            result->GetOutput(DXC_OUT_ERRORS, __uuidof(IDxcBlobUtf8), (void**)&said, nullptr);
            result->GetOutput(DXC_OUT_OBJECT, __uuidof(IDxcBlob), (void**)&code, nullptr);
        }
        printf("%s\t%s\t%.0f\t%zu\n", status ? "ERROR" : "ok", file.c_str(), time.count(),
               code ? code->GetBufferSize() : 0);
        if (status && said) printf("    %s\n", said->GetStringPointer());
        fflush(stdout);
        refused |= status != 0;
        for (IUnknown* held : {(IUnknown*)code, (IUnknown*)said, (IUnknown*)result})
            if (held) held->Release();
    }
    return refused;
}
