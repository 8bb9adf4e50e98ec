# SPDX-License-Identifier: MIT
# One picture of one format, from what pviommu-bench --data wrote into the directory `out`; scripts/bench calls it with
# out, format, kind (size, single or bulk) and names (of the contenders, in the order of their columns).
set terminal svg size 1000,600 dynamic enhanced font 'sans-serif,12' background rgb 'white'
set output sprintf('%s/%s-%s.svg', out, kind, format)
set key outside top center horizontal
set grid ytics lc rgb '#dddddd'
set datafile missing '?'
set logscale y
n = words(names)
data = sprintf('%s/%s-%s.dat', out, kind, format)

if (kind eq 'size') {
    set title sprintf('%s: 4K pages in one call, ns a page (median); map solid, unmap dashed', format)
    set logscale x 2
    set xlabel 'size of the call, MiB'
    set ylabel 'ns a page'
    set style data linespoints
    plot for [i=1:n] data using (strcol(2) eq 'map' ? $3 / 1048576 : 1/0):i+3 title word(names, i) lw 2 lc i pt 7 ps 0.6, \
         for [i=1:n] data using (strcol(2) eq 'unmap' ? $3 / 1048576 : 1/0):i+3 notitle lw 2 dt 2 lc i pt 6 ps 0.6
} else {
    set title sprintf('%s: ns a call or page (median), lower is better', format)
    set ylabel 'ns'
    set style data histograms
    set style histogram clustered gap 2
    set style fill solid 0.9 noborder
    set boxwidth 0.9
    set bmargin 12
    set rmargin 14
    set xtics rotate by -35 nomirror
    plot for [i=1:n] data using i+3:xtic(strcol(1).', '.strcol(2)) title word(names, i) lc i
}
