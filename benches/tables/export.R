# Rscript export.R DATA_DIR ITEM OUT.csv: a data frame of an unpacked Debian package of R data, as CSV.
args <- commandArgs(TRUE)
found <- new.env()
lazy <- file.path(args[1], "Rdata")
if (file.exists(paste0(lazy, ".rdb"))) {
    lazyLoad(lazy, envir = found)
} else {
    files <- list.files(args[1], pattern = "\\.(rda|RData)$", full.names = TRUE)
    for (file in files) load(file, envir = found)
}
table <- as.data.frame(found[[args[2]]])
for (name in names(table)) {
    column <- table[[name]]
    # Texts of some packages are padded with blanks, or are empty where a value is missing.
    if (is.factor(column) || is.character(column)) {
        text <- trimws(iconv(as.character(column), to = "UTF-8"))
        table[[name]] <- ifelse(is.na(text) | text == "", NA, text)
    } else if (inherits(column, "POSIXct")) {
        table[[name]] <- format(column, "%Y-%m-%d %H:%M:%S")
    }
}
write.csv(table, args[3], row.names = FALSE, na = "", fileEncoding = "UTF-8")
